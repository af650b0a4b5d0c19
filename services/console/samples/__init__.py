"""Sample data of a first run: documents and conversations, named as samples, put in and taken out again."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from metachat.chat.v1 import chat_pb2
from metachat.escalation.v1 import knowledge_pb2, privacy_pb2

from services.common.errors import Kind, ServiceError
from services.console.calls import Calls

# What a sample document says of where it comes from.
SOURCE: Final = "sample"
_FOLDER: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Samples:
    """What there is in one language. `conversations`: who writes, and what."""

    documents: tuple[tuple[str, str, str], ...]
    conversations: tuple[tuple[str, str], ...]
    question: str


@cache
def samples_of(language: str) -> Samples:
    """The samples of a language of the console."""
    with (_FOLDER / f"{language}.toml").open("rb") as file:
        read = tomllib.load(file)
    return Samples(
        tuple((each["id"], each["title"], each["text"].strip()) for each in read["document"]),
        tuple((each["customer"], each["message"]) for each in read["conversation"]),
        read["question"]["text"],
    )


async def add_documents(calls: Calls, tenant_id: str, language: str) -> None:
    """Put the sample documents. Raises ServiceError."""
    for name, title, text in samples_of(language).documents:
        await calls.knowledge.PutDocument(
            knowledge_pb2.PutDocumentRequest(
                tenant_id=tenant_id, document_id=name, title=title, text=text, source=SOURCE
            )
        )


async def add_conversations(calls: Calls, tenant_id: str, language: str) -> None:
    """Have the sample customers write, through the same door as real ones. Raises ServiceError."""
    for customer, message in samples_of(language).conversations:
        await calls.chat.Chat(chat_pb2.ChatRequest(tenant_id=tenant_id, user_id=customer, message=message))


async def remove(calls: Calls, tenant_id: str) -> None:
    """Take out what was put in, in whichever language. Raises ServiceError."""
    every = [samples_of(path.stem) for path in sorted(_FOLDER.glob("*.toml"))]
    for name in sorted({name for samples in every for name, _, _ in samples.documents}):
        try:
            await calls.knowledge.DeleteDocument(
                knowledge_pb2.DeleteDocumentRequest(tenant_id=tenant_id, document_id=name)
            )
        except ServiceError as error:
            if error.kind is not Kind.NOT_FOUND:
                raise
    for customer in sorted({who for samples in every for who, _ in samples.conversations}):
        await calls.privacy.EraseCustomer(
            privacy_pb2.EraseCustomerRequest(tenant_id=tenant_id, address=customer)
        )
