"""`metachat chat`: one message, or a conversation at the terminal."""

from __future__ import annotations

import sys

import click
from metachat.chat.v1 import chat_pb2, chat_pb2_grpc
from metachat.escalation.v1.policy_pb2 import Decision

from services.cli.connection import gateway_address, open_stub, plain_errors
from services.cli.output import print_json, printable


@click.command(name="chat")
@click.argument("tenant")
@click.argument("message", required=False)
@click.option("--conversation", default="", help="go on with this conversation")
@click.option("--json", "as_json", is_flag=True, help="print the whole answer as JSON")
def command(tenant: str, message: str | None, conversation: str, as_json: bool) -> None:
    """Send MESSAGE to TENANT's assistant; without one, read messages line by line until end of file."""
    stub = open_stub(chat_pb2_grpc.ChatServiceStub, gateway_address())
    if message is not None:
        answer = _ask(stub, tenant, message, conversation)
        if as_json:
            print_json([answer])
            return
        _show(answer)
        click.echo(f"(conversation {answer.conversation_id})", err=True)
        return
    for line in sys.stdin:
        if not line.strip():
            continue
        answer = _ask(stub, tenant, line.strip(), conversation)
        conversation = answer.conversation_id
        if as_json:
            print_json([answer])
        else:
            _show(answer)


def _ask(
    stub: chat_pb2_grpc.ChatServiceStub, tenant: str, text: str, conversation: str
) -> chat_pb2.ChatResponse:
    request = chat_pb2.ChatRequest(tenant_id=tenant, message=text, conversation_id=conversation)
    with plain_errors(gateway_address()):
        answer: chat_pb2.ChatResponse = stub.Chat(request, timeout=60)
    return answer


def _show(answer: chat_pb2.ChatResponse) -> None:
    click.echo(printable(answer.message) if answer.message else "(a person has this conversation)")
    if answer.metadata.HasField("confidence_escalation"):
        judged = answer.metadata.confidence_escalation
        score = f" score {judged.confidence_score:.2f}" if judged.HasField("confidence_score") else ""
        reason = f" ({judged.reason})" if judged.reason else ""
        click.echo(f"[{Decision.Action.Name(judged.action)}{reason}{score}]", err=True)
