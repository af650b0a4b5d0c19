"""Every RPC of the escalation service, called by one tenant with everything that is another tenant's.

RPCs are taken from the descriptors and requests are filled by the names of their fields, so that an RPC that
comes later is walked without a change here; one whose request cannot be filled fails the walk.
"""

from __future__ import annotations

import importlib
import itertools
import pkgutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import metachat.escalation.v1 as contracts
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from metachat.access.v1 import access_pb2
from metachat.escalation.v1 import (
    conversation_pb2,
    handoff_pb2,
    handoff_pb2_grpc,
    knowledge_pb2,
    knowledge_pb2_grpc,
    tenant_pb2,
    user_pb2,
    user_pb2_grpc,
    webhook_pb2,
    webhook_pb2_grpc,
)
from sqlalchemy import Connection, select

from services.escalation.store.schema import METADATA, outbox
from tests.contract import escalation_server as server
from tests.contract.escalation_server import World

database_url, world = server.database_url, server.world
Access = access_pb2.Access
OURS, THEIRS = server.TENANT, "bravo"
# Stands in every text of the other tenant.
MARK = "Bravissimo"
SCOPES = (Access.PUBLIC, Access.CHAT, Access.AGENT, Access.ADMIN)
REFUSED = {
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.UNIMPLEMENTED,
}
# That a name is taken in the whole installation is said, and by whom it is not.
TAKEN = {"TenantService.PutChannel", "UserService.CreateUser", "KnowledgeService.AddDocument"}
# Answered with what is the caller's own, or computed from the request alone: read for traces of the other.
READ = {grpc.StatusCode.OK, grpc.StatusCode.DEADLINE_EXCEEDED}


@dataclass
class Other:
    """What the other tenant has: a value for each field that could name something of it."""

    fields: dict[str, Any] = field(default_factory=dict)

    def traces(self) -> list[str]:
        """What no answer to somebody else may hold."""
        # Ids that callers choose may be anybody's.
        made = ("conversation_id", "handoff_id", "turn_id", "key_id", "user_id", "outbound_id")
        return [MARK, *(self.fields[name] for name in made)]


def methods() -> list[MethodDescriptor]:
    found = []
    for module in pkgutil.iter_modules(contracts.__path__):
        if module.name.endswith("_pb2"):
            file = importlib.import_module(f"{contracts.__name__}.{module.name}").DESCRIPTOR
            found += [method for service in file.services_by_name.values() for method in service.methods]
    return found


def rule_of(method: MethodDescriptor) -> Any:
    return method.GetOptions().Extensions[access_pb2.rule]


async def build_other(world: World) -> Other:
    operator, internal = world.channel(server.OPERATOR.reveal()), world.channel(server.INTERNAL.reveal())
    await world.tenants().CreateTenant(
        tenant_pb2.CreateTenantRequest(
            id=THEIRS, name=f"{MARK} Ltd", settings={"brand_name": MARK, "human_handoff_keywords": [MARK]}
        )
    )
    await world.tenants().PutChannel(
        tenant_pb2.PutChannelRequest(
            tenant_id=THEIRS,
            kind=server.WHATSAPP,
            account_id="phone-bravo",
            access_token=f"token {MARK}",
            display_name=MARK,
        )
    )
    key = await world.tenants().CreateApiKey(
        tenant_pb2.CreateApiKeyRequest(tenant_id=THEIRS, name=MARK, scopes=[Access.ADMIN])
    )
    user = await user_pb2_grpc.UserServiceStub(operator).CreateUser(
        user_pb2.CreateUserRequest(
            tenant_id=THEIRS,
            email="ana@bravo.example",
            display_name=f"Ana {MARK}",
            role=user_pb2.User.AGENT,
            password="correct horse",
        )
    )
    await knowledge_pb2_grpc.KnowledgeServiceStub(operator).PutDocument(
        knowledge_pb2.PutDocumentRequest(
            tenant_id=THEIRS, document_id="doc-bravo", title="Parcel plans", text=f"A parcel costs {MARK}."
        )
    )
    conversations = world.conversations()
    begun = await conversations.BeginTurn(
        conversation_pb2.BeginTurnRequest(
            tenant_id=THEIRS,
            channel=server.WHATSAPP,
            account_id="phone-bravo",
            message_id="wamid.bravo",
            contact=conversation_pb2.Contact(address="4915999", user_id="user-bravo", display_name=MARK),
            text=f"Where is my parcel? {MARK}",
        )
    )
    ended = await conversations.CompleteTurn(
        conversation_pb2.CompleteTurnRequest(
            tenant_id=THEIRS,
            turn_id=begun.turn_id,
            fence=begun.draft.fence,
            draft=conversation_pb2.Draft(reply=f"{MARK} score=0.1", responder="test"),
        )
    )
    await handoff_pb2_grpc.HandoffServiceStub(internal).ClaimHandoff(
        handoff_pb2.ClaimHandoffRequest(tenant_id=THEIRS, handoff_id=ended.handoff_id, agent=f"Ana {MARK}")
    )
    webchat = await conversations.BeginTurn(
        conversation_pb2.BeginTurnRequest(
            tenant_id=THEIRS, channel=server.WEBCHAT, message_id="web-bravo", text=f"Hello {MARK}"
        )
    )
    webhook_id = "webhook-bravo"
    try:
        hook = await webhook_pb2_grpc.WebhookServiceStub(operator).PutWebhook(
            webhook_pb2.PutWebhookRequest(
                tenant_id=THEIRS, webhook_id=webhook_id, url=f"https://hooks.example/{MARK}"
            )
        )
        webhook_id = getattr(hook, "id", "") or webhook_id
    except grpc.aio.AioRpcError as error:
        assert error.code() in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INVALID_ARGUMENT)
    outbound = (await world.rows(outbox, outbox.c.tenant_id == THEIRS))[0]["id"]
    return Other(
        {
            "conversation_id": begun.conversation_id or ended.conversation_id,
            "conversation_token": getattr(webchat, "conversation_token", "") or "token",
            "handoff_id": ended.handoff_id,
            "turn_id": begun.turn_id,
            "key_id": key.key.id,
            "token": key.token,
            "user_id": user.id,
            "document_id": "doc-bravo",
            "webhook_id": webhook_id,
            "outbound_id": outbound,
            "message_id": "wamid.bravo",
            "account_id": "phone-bravo",
            "address": "4915999",
            "email": "ana@bravo.example",
            "id": THEIRS,
            "confirm_name": f"{MARK} Ltd",
        }
    )


# Read-only RPCs that show texts of their tenant.
SHOWN = (
    "ConversationService.GetConversation",
    "ConversationService.ListConversations",
    "ConversationService.ListMessages",
    "ConversationService.WatchConversation",
    "HandoffService.GetHandoff",
    "HandoffService.ListHandoffs",
    "KnowledgeService.Search",
    "PrivacyService.ExportCustomer",
    "TenantService.GetTenant",
    "TenantService.ListApiKeys",
    "TenantService.ListAuditEntries",
    "TenantService.ListChannels",
    "UserService.ListUsers",
)


# Values that validation asks for, where the kind of the field does not tell.
PLAIN = {
    "url": "https://hooks.example/ours",
    "text": "parcel",
    "query": "parcel",
    "direction": "inbound",
    "user_message": "Where is my parcel?",
    "title": "Ours",
    "password": "correct horse battery",
    "time_zone": "UTC",
    "agent": "Ours",
    "to_agent": "Other of ours",
    "name": "Ours",
    "display_name": "Ours",
    "alpha": 0.1,
    "delta": 0.1,
    "score": 0.5,
    "channel": "",
    "type": "",
    "request_id": "",
    "page_token": "",
    "cursor": "",
    "after": "",
    "etag": "",
    "before": "",
}
# Left as they are: an empty one means "as it stands" or "all".
EMPTY = {
    *("settings", "update_mask", "period", "turns", "history", "event_types", "states"),
    "ListConversationsRequest.query",  # else the list is of those of a name
}
LISTED = {"dead_letter_ids"}


def fill(message: Message, other: Other, tenant_id: str) -> None:
    """Fill a request with everything of the other tenant's, `tenant_id` aside."""
    for descriptor in message.DESCRIPTOR.fields:
        name = descriptor.name
        if name in EMPTY or f"{message.DESCRIPTOR.name}.{name}" in EMPTY:
            continue
        if name == "tenant_id":
            message.tenant_id = tenant_id  # type: ignore[attr-defined]
        elif descriptor.is_repeated:
            if descriptor.enum_type is not None:
                getattr(message, name).append(2)
            elif name in LISTED:
                getattr(message, name).append("ours")
        elif descriptor.message_type is not None:
            if not descriptor.message_type.full_name.startswith("google.protobuf."):
                getattr(message, name).SetInParent()
                fill(getattr(message, name), other, tenant_id)
        elif descriptor.enum_type is not None:
            setattr(message, name, 2 if 2 in descriptor.enum_type.values_by_number else 1)
        elif descriptor.type == FieldDescriptor.TYPE_STRING:
            setattr(message, name, other.fields.get(name, PLAIN.get(name, "ours")))
        elif name in PLAIN:
            setattr(message, name, PLAIN[name])


async def call(world: World, token: str, method: MethodDescriptor, request: Message) -> tuple[Any, str]:
    """(status code, all that came with it as text)."""
    answer = message_factory.GetMessageClass(method.output_type)
    path = f"/{method.containing_service.full_name}/{method.name}"
    make = world.channel(token).unary_stream if method.server_streaming else world.channel(token).unary_unary
    rpc = make(
        path,
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=answer.FromString,
    )
    came = []
    try:
        if method.server_streaming:
            async for message in rpc(request, timeout=0.5):
                came.append(str(message))  # noqa: PERF401 - what came before the end counts
        else:
            came.append(str(await rpc(request, timeout=10)))
    except grpc.aio.AioRpcError as error:
        trailers = " ".join(str(value) for _, value in error.trailing_metadata() or ())
        return error.code(), " ".join((*came, error.details() or "", trailers))
    return grpc.StatusCode.OK, " ".join(came)


def dump(connection: Connection) -> dict[str, list[str]]:
    """All rows of the other tenant."""
    return {
        table.name: sorted(
            str(row) for row in connection.execute(select(table).where(table.c.tenant_id == THEIRS)).all()
        )
        for table in METADATA.sorted_tables
        if "tenant_id" in table.c
    }


def requests(method: MethodDescriptor, other: Other) -> Iterator[tuple[str, Message]]:
    """Each way to ask for the other's things: naming it, by its ids under one's own name, and under none."""
    has_tenant = "tenant_id" in method.input_type.fields_by_name
    for named in (THEIRS, OURS, "") if has_tenant else ("",):
        request = message_factory.GetMessageClass(method.input_type)()
        fill(request, other, named)
        yield named, request


async def test_no_rpc_gives_one_tenant_anything_of_another(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    other = await build_other(world)
    # Something of our own, so that no answer is a refusal for want of it.
    await world.turn("Where is our parcel?")
    keys = {scope: await world.key(scope) for scope in SCOPES}
    before = await world.database.read(dump)
    assert MARK in str(before)
    codes: Counter[str] = Counter()
    walked: set[str] = set()
    # What deletes something of one's own comes last, so that nothing is missing for the others.
    for method, scope in itertools.product(methods(), SCOPES):
        name = f"{method.containing_service.name}.{method.name}"
        rule = rule_of(method)
        for named, request in requests(method, other):
            code, said = await call(world, keys[scope], method, request)
            where = f"{name} as {Access.Scope.Name(scope)} naming {named or 'nobody'}: {code.name} {said}"
            codes[code.name] += 1
            walked.add(name)
            if named == THEIRS or scope not in rule.scopes:
                # Refused before anything is looked at.
                assert code in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNIMPLEMENTED), where
            elif name in TAKEN and code is grpc.StatusCode.ALREADY_EXISTS:
                pass
            else:
                assert code in REFUSED | READ, where
            sent = str(request)
            for trace in other.traces():
                assert trace not in said or (trace in sent and trace != MARK), where
            assert MARK not in said, where
    after = await world.database.read(dump)
    assert after == before
    assert walked == {f"{method.containing_service.name}.{method.name}" for method in methods()}
    served = sum(not rule_of(method).planned for method in methods())
    with capsys.disabled():
        print(
            f"\nisolation: {len(walked)} RPCs ({served} served), {codes.total()} calls with "
            f"{len(SCOPES)} scopes: {dict(sorted(codes.items()))}"
        )


async def test_the_walk_would_notice(world: World) -> None:
    """The same requests under the other tenant's own key do show its texts: the walk is no empty one."""
    other = await build_other(world)
    for name in SHOWN:
        method = next(one for one in methods() if f"{one.containing_service.name}.{one.name}" == name)
        request = message_factory.GetMessageClass(method.input_type)()
        fill(request, other, THEIRS)
        code, said = await call(world, other.fields["token"], method, request)
        assert code is not grpc.StatusCode.NOT_FOUND and MARK in said, f"{name}: {code} {said}"
