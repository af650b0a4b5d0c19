"""One set of documents and questions on both databases: the same passages, in the same order of coverage."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from metachat.escalation.v1.settings_pb2 import TenantSettings

from services.common.clock import SystemClock
from services.common.settings import Secret
from services.escalation.knowledge.documents import Documents
from services.escalation.migrations.upgrade import upgrade
from services.escalation.secrets.box import SecretBox
from services.escalation.store.opening import database_for
from services.escalation.tenants.administration import Administration
from services.escalation.tenants.directory import TenantDirectory

# fmt: off
DOCUMENTS = {
    "account": ("Account and password", "To reset your password, open the sign-in page."),
    "billing": ("Billing", "Invoices are sent by e-mail each month. Refunds take 14 days."),
    "hours": ("Opening hours", "We are open Monday to Friday, 9:00 to 17:00. On holidays we're closed."),
    "hr": ("Dostava", "Narudžbe šaljemo u roku od dva radna dana. Dostava u Đakovo traje tri dana."),
    "de": ("Rückgabe", "Sie können Schuhe 30 Tage lang zurückgeben. Straße und Hausnummer angeben."),
    "zh": ("订单", "我们在两天内发货到上海。退款需要十四天。"),
    "codes": ("API", "Error E-1042 means that the key is wrong; v2.1 of the API answers with 401."),
}
# fmt: on
QUESTIONS = (
    "How do I reset my password?",
    "when are invoices sent",
    "Are you open on Monday?",
    "koliko traje dostava u đakovo",
    "Kann ich Schuhe zurückgeben?",
    "什么时候退款",
    "What does E-1042 mean in API v2.1?",
    "refund password monday dostava schuhe",
    "9:00 17:00",
    "strasse",
    "what about it?",
    "unrelated zebra",
)


@asynccontextmanager
async def documents(url: str) -> AsyncIterator[Documents]:
    await upgrade(url)
    database = database_for(url)
    await database.open()
    box = SecretBox(Secret("a-key-for-these-tests-alone"))
    directory = TenantDirectory(database, box)
    await directory.open()
    try:
        administration = Administration(database, directory, box, SystemClock())
        await administration.create("metrica", "Metrica", TenantSettings(), request_id="")
        made = Documents(database, directory, SystemClock())
        for document_id, (title, text) in DOCUMENTS.items():
            await made.put("metrica", document_id, title=title, text=text, source="")
        yield made
    finally:
        await directory.close()
        await database.close()


async def answers(url: str) -> dict[str, list[tuple[str, float]]]:
    async with documents(url) as made:
        return {
            question: [
                (passage.document_id, passage.coverage)
                for passage in await made.search("metrica", question, limit=50)
            ]
            for question in QUESTIONS
        }


@pytest.mark.postgresql
async def test_both_find_the_same_with_the_same_coverage(tmp_path: Path, postgres_url: str) -> None:
    on_sqlite = await answers(f"sqlite:///{tmp_path / 'metachat.db'}")
    on_postgresql = await answers(postgres_url)
    for question in QUESTIONS:
        assert sorted(on_sqlite[question]) == sorted(on_postgresql[question]), question
        shares = [share for _, share in on_sqlite[question]]
        assert shares == sorted(shares, reverse=True)
        assert [share for _, share in on_postgresql[question]] == shares


@pytest.mark.parametrize(
    "question, best",
    [
        ("How do I reset my password?", "account"),
        ("when are invoices sent", "billing"),
        ("koliko traje dostava u đakovo", "hr"),
        ("Kann ich Schuhe zurückgeben?", "de"),
        ("什么时候退款", "zh"),
        ("What does E-1042 mean in API v2.1?", "codes"),
    ],
)
async def test_the_right_document_is_best(tmp_path: Path, question: str, best: str) -> None:
    async with documents(f"sqlite:///{tmp_path / 'metachat.db'}") as made:
        found = await made.search("metrica", question, limit=5)
    assert found[0].document_id == best
    assert found[0].coverage >= 0.5
    assert all(passage.coverage < found[0].coverage for passage in found[1:])
