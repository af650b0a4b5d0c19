"""KnowledgeService through a real server: documents and their search, the same on both databases."""

from __future__ import annotations

import pytest
from metachat.access.v1.access_pb2 import Access
from metachat.escalation.v1 import knowledge_pb2 as pb

from services.common.errors import Kind
from tests.contract import administration_server as admin
from tests.contract.administration_server import OPERATOR, Stubs, World, refused

database_url, world = admin.database_url, admin.world

SHIPPING = "We ship to all countries of the European Union. Shipping takes two days."
RETURNS = "You can return shoes within 30 days. Refunds are paid to the card you used."


@pytest.fixture
async def operator(world: World) -> Stubs:
    await world.tenant("metrica")
    await world.tenant("other")
    return await world.stubs(OPERATOR)


def put(
    document_id: str, title: str, text: str, tenant_id: str = "metrica", **fields: str
) -> pb.PutDocumentRequest:
    return pb.PutDocumentRequest(
        tenant_id=tenant_id, document_id=document_id, title=title, text=text, **fields
    )


def ask(query: str, tenant_id: str = "metrica", limit: int = 0) -> pb.SearchRequest:
    return pb.SearchRequest(tenant_id=tenant_id, query=query, limit=limit)


async def test_a_document_is_added_once_and_never_over_another(operator) -> None:
    fields = {"tenant_id": "metrica", "document_id": "ship", "title": "Shipping"}
    made = await operator.knowledge.AddDocument(pb.AddDocumentRequest(**fields, text=SHIPPING, source="Ana"))
    assert (made.id, made.passages, made.source) == ("ship", 1, "Ana")
    error = await refused(operator.knowledge.AddDocument(pb.AddDocumentRequest(**fields, text="Bicycles.")))
    assert (error.kind, error.reason) == (Kind.CONFLICT, "DOCUMENT_EXISTS")
    found = await operator.knowledge.Search(ask("European countries"))
    assert [passage.text for passage in found.passages] == [SHIPPING]
    assert not (await operator.knowledge.Search(ask("bicycles"))).passages
    error = await refused(operator.knowledge.AddDocument(pb.AddDocumentRequest(**fields, text="  ")))
    assert error.kind is Kind.INVALID


async def test_a_document_is_put_listed_replaced_and_deleted(operator) -> None:
    made = await operator.knowledge.PutDocument(put("ship", "Shipping", SHIPPING, source="https://x.example"))
    assert (made.id, made.title, made.text, made.passages) == ("ship", "Shipping", SHIPPING, 1)
    await operator.knowledge.PutDocument(put("back", "Returns", RETURNS))
    listed = await operator.knowledge.ListDocuments(pb.ListDocumentsRequest(tenant_id="metrica"))
    assert [(d.id, d.title, d.text, d.passages, d.source) for d in listed.documents] == [
        ("back", "Returns", "", 1, ""),
        ("ship", "Shipping", "", 1, "https://x.example"),
    ]

    await operator.knowledge.PutDocument(put("ship", "Delivery", "Parcels arrive by bicycle."))
    assert not (await operator.knowledge.Search(ask("European countries"))).passages
    found = await operator.knowledge.Search(ask("bicycle"))
    assert [(p.document_id, p.title, p.text) for p in found.passages] == [
        ("ship", "Delivery", "Parcels arrive by bicycle.")
    ]

    await operator.knowledge.DeleteDocument(pb.DeleteDocumentRequest(tenant_id="metrica", document_id="ship"))
    assert not (await operator.knowledge.Search(ask("bicycle"))).passages
    for gone in ("ship", "never", "a\0b"):
        error = await refused(
            operator.knowledge.DeleteDocument(pb.DeleteDocumentRequest(tenant_id="metrica", document_id=gone))
        )
        assert error.kind is Kind.NOT_FOUND


def get(document_id: str, tenant_id: str = "metrica") -> pb.GetDocumentRequest:
    return pb.GetDocumentRequest(tenant_id=tenant_id, document_id=document_id)


async def test_a_document_is_opened_and_changed_by_one_of_two(operator) -> None:
    made = await operator.knowledge.PutDocument(put("ship", "Shipping", SHIPPING, source="Ana"))
    opened = await operator.knowledge.GetDocument(get("ship"))
    assert opened == made and opened.text == SHIPPING and opened.etag
    for gone, tenant_id in (("never", "metrica"), ("ship", "other"), ("a\0b", "metrica")):
        error = await refused(operator.knowledge.GetDocument(get(gone, tenant_id)))
        assert error.kind is Kind.NOT_FOUND

    changed = await operator.knowledge.PutDocument(put("ship", "Shipping", RETURNS, etag=opened.etag))
    assert changed.etag != opened.etag
    error = await refused(operator.knowledge.PutDocument(put("ship", "Mine", SHIPPING, etag=opened.etag)))
    assert (error.kind, error.reason, error.metadata["etag"]) == (Kind.STALE, "ETAG_STALE", changed.etag)
    assert (await operator.knowledge.GetDocument(get("ship"))).text == RETURNS
    await operator.knowledge.DeleteDocument(pb.DeleteDocumentRequest(tenant_id="metrica", document_id="ship"))
    error = await refused(operator.knowledge.PutDocument(put("ship", "Mine", SHIPPING, etag=changed.etag)))
    assert error.kind is Kind.STALE and "deleted" in error.message


async def test_documents_are_listed_in_pages(operator) -> None:
    for name in ("a", "b", "c"):
        await operator.knowledge.PutDocument(put(name, name, "text"))
    first = await operator.knowledge.ListDocuments(pb.ListDocumentsRequest(tenant_id="metrica", page_size=2))
    rest = await operator.knowledge.ListDocuments(
        pb.ListDocumentsRequest(tenant_id="metrica", page_size=2, page_token=first.next_page_token)
    )
    assert [d.id for d in first.documents] + [d.id for d in rest.documents] == ["a", "b", "c"]
    assert rest.next_page_token == ""


async def test_the_passage_that_covers_most_of_the_question_comes_first(operator) -> None:
    await operator.knowledge.PutDocument(put("ship", "Shipping", SHIPPING))
    await operator.knowledge.PutDocument(put("back", "Returns", RETURNS))
    found = await operator.knowledge.Search(ask("How many days do I have to return the shoes?"))
    assert [p.document_id for p in found.passages] == ["back", "ship"]
    assert found.passages[0].coverage > found.passages[1].coverage > 0
    found = await operator.knowledge.Search(ask("returned shoe", limit=1))
    assert [(p.document_id, p.coverage) for p in found.passages] == [("back", 1.0)]


@pytest.mark.parametrize(
    "text, question",
    [
        ("Narudžbe šaljemo u Đakovo.", "NARUDZBA u djakovo ili đakovo"),
        ("Die Rechnung schicken wir per Post.", "rechnungen?"),
        ("我们在两天内发货到上海。", "什么时候发货"),
        ("Возврат в течение 14 дней.", "возврат"),
        ("The café is closed on Mondays.", "CAFE monday"),
    ],
)
async def test_words_are_found_in_any_language_and_case(operator, text, question) -> None:
    await operator.knowledge.PutDocument(put("d", "t", text))
    found = await operator.knowledge.Search(ask(question))
    assert [p.document_id for p in found.passages] == ["d"]
    assert found.passages[0].coverage > 0.3


async def test_the_title_counts(operator) -> None:
    await operator.knowledge.PutDocument(put("d", "Opening hours", "From nine to five."))
    found = await operator.knowledge.Search(ask("What are your opening hours?"))
    assert [p.coverage for p in found.passages] == [1.0]


async def test_a_question_without_content_finds_nothing(operator) -> None:
    await operator.knowledge.PutDocument(put("d", "What is this", "This is what it is. And you?"))
    for question in ("what is this?", "?!", " ", "🙂🙂", "\0", "_"):
        assert not (await operator.knowledge.Search(ask(question))).passages


HOSTILE = (
    '"',
    "' OR 1=1 --",
    '" OR "a',
    "shipping AND NOT european",
    "NEAR(shipping days, 3)",
    "title:shipping",
    "shipp*",
    "^shipping",
    "-shipping +days",
    "shipping & ! ( days | <-> :* ) \\",
    "{title body}: shipping",
    "shipping\0days",
    "shipping'); DROP TABLE passages; --",
    "shipping \\' \\\" `",
    "%s :words {0} $1 ?",
    "🙂 shipping 🚚",
    "sh\u0000ipping shipping",
    "\u202eshipping",
)


@pytest.mark.parametrize("query", HOSTILE)
async def test_any_text_is_only_words(operator, query) -> None:
    await operator.knowledge.PutDocument(put("ship", "Shipping", SHIPPING))
    found = await operator.knowledge.Search(ask(query))
    expected = ["ship"] if "shipping" in query else []
    assert [p.document_id for p in found.passages] == expected
    await operator.knowledge.PutDocument(put("hostile", query, f"{query} zebra"))
    found = await operator.knowledge.Search(ask("zebra"))
    assert [p.document_id for p in found.passages] == ["hostile"]


async def test_sixteen_kilobytes_of_question(operator) -> None:
    await operator.knowledge.PutDocument(put("ship", "Shipping", SHIPPING))
    for query in (
        "shipping " + " ".join(f"w{n}" for n in range(2500)),
        "x" * 16_384,
        "🙂" * 4096,
        "( " * 8192,
    ):
        await operator.knowledge.Search(ask(query[:16_384]))
    error = await refused(operator.knowledge.Search(ask("x" * 16_385)))
    assert error.kind is Kind.INVALID and error.fields[0].field == "query"


async def test_tenants_are_strictly_apart(world, operator) -> None:
    await operator.knowledge.PutDocument(put("d", "Shipping", SHIPPING, "metrica"))
    await operator.knowledge.PutDocument(put("d", "Shipping", "Our secret shipping rates.", "other"))
    mine = await operator.knowledge.Search(ask("shipping", "metrica"))
    assert [p.text for p in mine.passages] == [SHIPPING]
    chat = await world.stubs((await world.key("metrica", Access.CHAT))[1])
    assert [p.text for p in (await chat.knowledge.Search(ask("shipping", ""))).passages] == [SHIPPING]
    assert (await refused(chat.knowledge.Search(ask("shipping", "other")))).kind is Kind.FORBIDDEN
    await operator.knowledge.DeleteDocument(pb.DeleteDocumentRequest(tenant_id="other", document_id="d"))
    assert (await operator.knowledge.Search(ask("shipping", "metrica"))).passages
    assert not (await operator.knowledge.Search(ask("shipping", "other"))).passages


async def test_ranks_do_not_tell_what_others_have(operator) -> None:
    await operator.knowledge.PutDocument(put("d", "Shipping", SHIPPING))
    await operator.knowledge.PutDocument(put("e", "Returns", RETURNS))
    before = await operator.knowledge.Search(ask("shipping days"))
    for number in range(20):
        await operator.knowledge.PutDocument(put(f"d{number}", "Shipping", SHIPPING, "other"))
    after = await operator.knowledge.Search(ask("shipping days"))
    assert [(p.document_id, p.coverage) for p in before.passages] == [
        (p.document_id, p.coverage) for p in after.passages
    ]


@pytest.mark.parametrize(
    "request_, field",
    [
        (put("d", "t", " \n "), "text"),
        (put("d", " \t", "text"), "title"),
        (put("d", "", "text"), "title"),
        (put("../d", "t", "text"), "document_id"),
        (put("d", "t", "text", ""), "tenant_id"),
    ],
)
async def test_a_bad_document_is_refused_by_its_field(operator, request_, field) -> None:
    error = await refused(operator.knowledge.PutDocument(request_))
    assert error.kind is Kind.INVALID and error.fields[0].field == field


async def test_an_unknown_tenant_has_no_documents(operator) -> None:
    for call in (
        operator.knowledge.PutDocument(put("d", "t", "text", "nobody")),
        operator.knowledge.Search(ask("x", "nobody")),
        operator.knowledge.ListDocuments(pb.ListDocumentsRequest(tenant_id="nobody")),
    ):
        assert (await refused(call)).kind is Kind.NOT_FOUND


async def test_a_megabyte_is_one_document(operator) -> None:
    text = "\n\n".join(f"Paragraph {n} tells of item{n} and its price." for n in range(20_000))[:1_048_576]
    made = await operator.knowledge.PutDocument(put("big", "Catalogue", text))
    assert made.passages > 1000
    found = await operator.knowledge.Search(ask("price of item7777"))
    assert found.passages[0].coverage == 1.0 and "item7777 " in found.passages[0].text
