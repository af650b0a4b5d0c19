"""`metachat preview`, `channels test`, `tenants test-llm`: tries what is not saved; nothing is recorded."""

from __future__ import annotations

import click
from google.protobuf.field_mask_pb2 import FieldMask
from metachat.chat.v1 import chat_pb2, chat_pb2_grpc
from metachat.escalation.v1.policy_pb2 import Decision, Policy
from metachat.escalation.v1.tenant_pb2 import Channel

from services.cli.connection import gateway_address, open_stub, plain_errors
from services.cli.output import print_json, print_table, printable
from services.cli.tenant_settings import changed_settings, with_options

_SECONDS = 60.0
_CLEAR = click.option(
    "--clear", "cleared", multiple=True, help="field to take at its default, as settings.<path>"
)


def _stub() -> chat_pb2_grpc.ChatServiceStub:
    return open_stub(chat_pb2_grpc.ChatServiceStub, gateway_address())


@click.command(name="preview")
@click.argument("tenant")
@click.argument("message")
@click.option("--reply", default="", help="judge this reply instead of asking the responder for one")
@click.option("--json", "as_json", is_flag=True, help="print the whole answer as JSON")
@with_options
@_CLEAR
def command(
    tenant: str, message: str, reply: str, as_json: bool, cleared: tuple[str, ...], **options: object
) -> None:
    """What TENANT's assistant would do with MESSAGE, under its settings with the options applied.

    Nothing is saved, recorded or sent.
    """
    settings, paths = changed_settings(options)
    with plain_errors(gateway_address()):
        answer = _stub().Preview(
            chat_pb2.PreviewRequest(
                tenant_id=tenant,
                message=message,
                reply=reply,
                settings=settings,
                update_mask=FieldMask(paths=[*paths, *cleared]),
            ),
            timeout=_SECONDS,
        )
    if as_json:
        print_json([answer])
        return
    _show(answer)


def _show(answer: chat_pb2.PreviewResponse) -> None:
    decision = answer.outcome.decision
    if answer.failure:
        click.echo(f"no draft: {answer.failure}: {printable(answer.failure_detail)}")
    elif answer.visible_draft:
        click.echo(f"draft: {printable(answer.visible_draft)}")
    click.echo(f"customer: {printable(answer.outcome.reply) or '(nothing)'}")
    reason = f" ({decision.reason})" if decision.reason else ""
    score = f", score {decision.score:.2f} {decision.level}" if decision.HasField("score") else ""
    click.echo(f"action: {Decision.Action.Name(decision.action)}{reason}{score}")
    if decision.shadow_action:
        would = Decision.Action.Name(decision.shadow_action)
        click.echo(f"in force it would be: {would} ({decision.shadow_reason})")
    stakes = ", high stakes" if decision.high_stakes else ""
    click.echo(
        f"thresholds: {decision.thresholds.immediate:g} / {decision.thresholds.review:g} "
        f"({Policy.Mode.Name(decision.mode).lower()}{stakes})"
    )
    available = [signal for signal in answer.outcome.signals if signal.available]
    if available:
        print_table(
            ["SIGNAL", "VALUE", "WEIGHS", "WHY"],
            (
                (signal.name, f"{signal.value:.2f}", f"{signal.contribution:+.2f}", signal.reason)
                for signal in sorted(available, key=lambda signal: -abs(signal.contribution))
            ),
            empty="",
        )


@click.command(name="test")
@click.argument("tenant")
@click.argument("kind", type=click.Choice(["whatsapp", "messenger"], case_sensitive=False))
def test_channel(tenant: str, kind: str) -> None:
    """Ask the provider whose account TENANT's channel is, with the token that is stored; sends nothing."""
    request = chat_pb2.TestChannelRequest(tenant_id=tenant, kind=Channel.Kind.Value(kind.upper()))
    with plain_errors(gateway_address()):
        answer = _stub().TestChannel(request, timeout=_SECONDS)
    _report(kind, answer)


@click.command(name="test-llm")
@click.argument("tenant")
@with_options
@_CLEAR
def test_llm(tenant: str, cleared: tuple[str, ...], **options: object) -> None:
    """Ask TENANT's responder one short question, with the options applied and not saved."""
    settings, paths = changed_settings(options)
    request = chat_pb2.TestResponderRequest(
        tenant_id=tenant, settings=settings, update_mask=FieldMask(paths=[*paths, *cleared])
    )
    with plain_errors(gateway_address()):
        answer = _stub().TestResponder(request, timeout=_SECONDS)
    _report("responder", answer)


def _report(what: str, answer: chat_pb2.ConnectionTest) -> None:
    if not answer.ok:
        raise click.ClickException(f"{what}: {answer.code}: {printable(answer.detail)}")
    click.echo(f"{what} answers ({answer.milliseconds:.0f} ms): {printable(answer.detail)}")
