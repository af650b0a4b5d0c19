"""`metachat dead-letters`: list, show, replay, discard."""

from __future__ import annotations

import click
from metachat.escalation.v1 import queue_pb2, queue_pb2_grpc
from metachat.escalation.v1.tenant_pb2 import Channel

from services.cli.connection import escalation_address, open_stub, plain_errors
from services.cli.output import local_time, print_json, print_table, printable, shorten

EVERYBODY = "-"


def _stub() -> queue_pb2_grpc.QueueServiceStub:
    return open_stub(queue_pb2_grpc.QueueServiceStub, escalation_address())


tenant_argument = click.argument("tenant")
ids_argument = click.argument("ids", nargs=-1)
all_option = click.option("--all", "everything", is_flag=True, help="all of the tenant that lie there now")


@click.group(name="dead-letters")
def command() -> None:
    """Messages that were put aside because nobody could handle them."""


@command.command(name="list")
@click.argument("tenant", default=EVERYBODY)
@click.option("--channel", type=click.Choice(["whatsapp", "messenger"]), help="only of this channel")
@click.option("--direction", type=click.Choice(["inbound", "outbound"]), help="only of this direction")
@click.option("--search", default="", help="only where the reason or the text holds this")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 500), help="at most so many")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def list_dead_letters(
    tenant: str, channel: str | None, direction: str | None, search: str, limit: int, as_json: bool
) -> None:
    """List dead letters of TENANT, the oldest first; without a name those of all (operators)."""
    request = queue_pb2.ListDeadLettersRequest(
        tenant_id=tenant,
        channel=Channel.Kind.Value(channel.upper()) if channel else Channel.KIND_UNSPECIFIED,
        direction=direction or "",
        search=search,
        page_size=limit,
    )
    with plain_errors(escalation_address()):
        found = _stub().ListDeadLetters(request)
    if as_json:
        print_json(found.dead_letters)
        return
    print_table(
        ["ID", "TENANT", "WHEN", "TRIES", "MESSAGE", "REASON"],
        (
            (
                letter.id,
                letter.tenant_id or "?",
                local_time(letter.dead_at),
                str(letter.tries),
                shorten(letter.message_id, 40),
                shorten(letter.reason, 80),
            )
            for letter in found.dead_letters
        ),
        empty="nothing was put aside",
    )
    if found.total > len(found.dead_letters):
        click.echo(f"{len(found.dead_letters)} of {found.total}: see the rest with --limit or --search")


@command.command()
@tenant_argument
@click.argument("dead_letter")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def show(tenant: str, dead_letter: str, as_json: bool) -> None:
    """Show one dead letter of TENANT with its body."""
    with plain_errors(escalation_address()):
        letter = _stub().GetDeadLetter(
            queue_pb2.GetDeadLetterRequest(tenant_id=tenant, dead_letter_id=dead_letter)
        )
    if as_json:
        print_json([letter])
        return
    for label, value in (
        ("tenant", letter.tenant_id),
        ("queue", f"{Channel.Kind.Name(letter.channel).lower()} {letter.direction}"),
        ("type", letter.type),
        ("message", letter.message_id),
        ("order", letter.ordering_key),
        ("published", local_time(letter.published_at)),
        ("put aside", local_time(letter.dead_at)),
        ("reason", letter.reason),
        ("first failure", letter.first_failure),
        ("tries", str(letter.tries)),
        ("bytes", str(letter.body_bytes)),
    ):
        click.echo(f"{label:14} {printable(value)}")
    click.echo(printable(letter.body_json) if letter.body_json else repr(letter.body))


@command.command()
@tenant_argument
@ids_argument
@all_option
def replay(tenant: str, ids: tuple[str, ...], everything: bool) -> None:
    """Put dead letters of TENANT back at the end of their queues, their tries forgotten."""
    _named(ids, everything)
    with plain_errors(escalation_address()):
        done = _stub().ReplayDeadLetters(
            queue_pb2.ReplayDeadLettersRequest(tenant_id=tenant, dead_letter_ids=ids, all=everything)
        )
    click.echo(f"{done.replayed} put back")
    _missing(done.missing_ids)


@command.command()
@tenant_argument
@ids_argument
@all_option
@click.option("--yes", is_flag=True, help="do not ask")
def discard(tenant: str, ids: tuple[str, ...], everything: bool, yes: bool) -> None:
    """Remove dead letters of TENANT for good."""
    _named(ids, everything)
    if not yes:
        which = "all dead letters" if everything else f"{len(ids)} dead letter(s)"
        click.confirm(f"Remove {which} of {tenant} for good?", abort=True)
    with plain_errors(escalation_address()):
        done = _stub().DiscardDeadLetters(
            queue_pb2.DiscardDeadLettersRequest(tenant_id=tenant, dead_letter_ids=ids, all=everything)
        )
    click.echo(f"{done.discarded} removed")
    _missing(done.missing_ids)


def _named(ids: tuple[str, ...], everything: bool) -> None:
    if bool(ids) == everything:
        raise click.UsageError("name the ids of the dead letters, or say --all")


def _missing(ids: object) -> None:
    for identity in ids:  # type: ignore[attr-defined] # a repeated field
        click.echo(f"not there any more: {identity}", err=True)
    if ids:
        raise click.exceptions.Exit(1)
