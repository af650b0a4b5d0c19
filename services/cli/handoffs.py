"""`metachat handoffs`: list, show, claim, reply, transfer, return, close."""

from __future__ import annotations

import getpass
import uuid

import click
from metachat.escalation.v1 import conversation_pb2, handoff_pb2, handoff_pb2_grpc, tenant_pb2_grpc

from services.cli.connection import escalation_address, open_stub, plain_errors
from services.cli.output import local_time, print_json, print_table, printable, shorten
from services.cli.tenants import every_tenant

STATES = ("waiting", "claimed", "returned", "closed")
SPEAKERS = {
    conversation_pb2.Message.CUSTOMER: "customer",
    conversation_pb2.Message.AI_AGENT: "assistant",
    conversation_pb2.Message.HUMAN_AGENT: "agent",
    conversation_pb2.Message.HUMAN_AGENT_ON_BEHALF_OF_AI_AGENT: "agent for assistant",
    conversation_pb2.Message.SYSTEM: "notice",
}


def _stub() -> handoff_pb2_grpc.HandoffServiceStub:
    return open_stub(handoff_pb2_grpc.HandoffServiceStub, escalation_address())


def _me() -> str:
    try:
        return getpass.getuser()
    except OSError:
        return "operator"


tenant_argument = click.argument("tenant")
handoff_argument = click.argument("handoff")
agent_option = click.option(
    "--agent", default=_me, show_default="your user name", help="the name the customer is told"
)


@click.group(name="handoffs")
def command() -> None:
    """Work on conversations that wait for a person."""


@command.command(name="list")
@click.argument("tenant", required=False)
@click.option(
    "--state", "states", multiple=True, type=click.Choice(STATES), help="default: waiting and claimed"
)
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def list_handoffs(tenant: str | None, states: tuple[str, ...], as_json: bool) -> None:
    """List handoffs of TENANT (without one: of all), open ones by priority."""
    wanted = [handoff_pb2.Handoff.State.Value(state.upper()) for state in states]
    found: list[handoff_pb2.Handoff] = []
    with plain_errors(escalation_address()):
        stub = _stub()
        for name in [tenant] if tenant else _tenant_ids():
            found.extend(_every_handoff(stub, name, wanted))
    if not tenant:
        found.sort(key=lambda row: -row.priority)
    if as_json:
        print_json(found)
        return
    print_table(
        ["HANDOFF", "TENANT", "STATE", "WAITING", "PRIORITY", "REASON", "SCORE", "AGENT", "CUSTOMER WROTE"],
        (
            (
                row.id,
                row.tenant_id,
                handoff_pb2.Handoff.State.Name(row.state).lower(),
                age(row.waiting_seconds),
                f"{row.priority:.0f}",
                row.reason,
                f"{row.score:.2f}" if row.HasField("score") else "-",
                row.claimed_by or "-",
                shorten(row.last_customer_message),
            )
            for row in found
        ),
        empty="nobody is waiting",
    )


def _tenant_ids() -> list[str]:
    stub = open_stub(tenant_pb2_grpc.TenantServiceStub, escalation_address())
    return [tenant.id for tenant in every_tenant(stub)]


def _every_handoff(
    stub: handoff_pb2_grpc.HandoffServiceStub, tenant: str, states: list[handoff_pb2.Handoff.State.ValueType]
) -> list[handoff_pb2.Handoff]:
    found: list[handoff_pb2.Handoff] = []
    page_token = ""
    while True:
        page = stub.ListHandoffs(
            handoff_pb2.ListHandoffsRequest(
                tenant_id=tenant, states=states, page_size=200, page_token=page_token
            )
        )
        found.extend(page.handoffs)
        page_token = page.next_page_token
        if not page_token:
            return found


def age(seconds: float) -> str:
    """A waiting time as people say it: 40s, 12m, 3h05m, 2d."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d"


@command.command()
@tenant_argument
@handoff_argument
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def show(tenant: str, handoff: str, as_json: bool) -> None:
    """Show a HANDOFF of TENANT: transcript, withheld draft, signals."""
    with plain_errors(escalation_address()):
        details = _stub().GetHandoff(handoff_pb2.GetHandoffRequest(tenant_id=tenant, handoff_id=handoff))
    if as_json:
        print_json([details])
        return
    row = details.handoff
    score = f", score {row.score:.2f}" if row.HasField("score") else ""
    whose = f" ({row.claimed_by_id})" if row.claimed_by_id else ""
    holder = f", {row.claimed_by}{whose} has it" if row.claimed_by else ""
    state = handoff_pb2.Handoff.State.Name(row.state).lower()
    click.echo(f"{row.id}: {state} for {age(row.waiting_seconds)}, {row.reason}{score}{holder}")
    if row.HasField("window_ends_at"):
        click.echo(f"the channel takes a free answer until {local_time(row.window_ends_at)}")
    for label, text in (
        ("asked", details.summary.asked),
        ("unanswered", details.summary.unanswered),
        ("tried", details.summary.tried),
    ):
        for number, part in enumerate(text.splitlines()):
            click.echo(f"{label if not number else '':<11}{printable(part)}")
    click.echo("")
    for message in details.transcript:
        speaker = message.author or SPEAKERS.get(message.source, "?")
        mark = " [withheld]" if message.withheld else ""
        click.echo(f"{local_time(message.created_at)} {speaker}{mark}: {printable(message.text)}")
    if details.withheld_draft:
        click.echo(f"\nThe customer did not get this draft:\n  {printable(details.withheld_draft)}")
    if details.signals:
        click.echo("\nWhy it scored so:")
        for signal in details.signals:
            if signal.available:
                click.echo(f"  {signal.contribution:+.2f}  {signal.reason}")


@command.command()
@tenant_argument
@handoff_argument
@agent_option
def claim(tenant: str, handoff: str, agent: str) -> None:
    """Take a waiting HANDOFF of TENANT."""
    request = handoff_pb2.ClaimHandoffRequest(tenant_id=tenant, handoff_id=handoff, agent=agent)
    with plain_errors(escalation_address()):
        _stub().ClaimHandoff(request)
    click.echo(f"{agent} has {handoff}; answer with: metachat handoffs reply {tenant} {handoff} TEXT")


@command.command()
@tenant_argument
@handoff_argument
@click.argument("text")
@agent_option
def reply(tenant: str, handoff: str, text: str, agent: str) -> None:
    """Send TEXT to the customer of a claimed HANDOFF."""
    request = handoff_pb2.ReplyToCustomerRequest(
        tenant_id=tenant, handoff_id=handoff, agent=agent, text=text, request_id=uuid.uuid4().hex
    )
    with plain_errors(escalation_address()):
        message = _stub().ReplyToCustomer(request)
    click.echo(f"sent ({message.delivery or 'shown in the chat'})")


@command.command()
@tenant_argument
@handoff_argument
@click.option("--to", "to_agent", default="", help="who gets it, by name; without: back to the list")
@click.option("--to-user", "to_user_id", default="", help="the id of the user who gets it, instead of a name")
@agent_option
def transfer(tenant: str, handoff: str, to_agent: str, to_user_id: str, agent: str) -> None:
    """Give a HANDOFF to another person, or back to the waiting list."""
    request = handoff_pb2.TransferHandoffRequest(
        tenant_id=tenant, handoff_id=handoff, agent=agent, to_agent=to_agent, to_user_id=to_user_id
    )
    with plain_errors(escalation_address()):
        given = _stub().TransferHandoff(request)
    click.echo(
        f"{given.claimed_by} has {handoff}" if given.claimed_by else f"{handoff} is on the waiting list again"
    )


@command.command(name="return")
@tenant_argument
@handoff_argument
@agent_option
def return_to_bot(tenant: str, handoff: str, agent: str) -> None:
    """Give the conversation of HANDOFF back to the assistant, with a fresh context."""
    request = handoff_pb2.ReturnToBotRequest(tenant_id=tenant, handoff_id=handoff, agent=agent)
    with plain_errors(escalation_address()):
        _stub().ReturnToBot(request)
    click.echo(f"{handoff} is with the assistant again")


@command.command()
@tenant_argument
@handoff_argument
@agent_option
def close(tenant: str, handoff: str, agent: str) -> None:
    """End the conversation of HANDOFF; a new message of the customer reopens it."""
    request = handoff_pb2.CloseConversationRequest(tenant_id=tenant, handoff_id=handoff, agent=agent)
    with plain_errors(escalation_address()):
        _stub().CloseConversation(request)
    click.echo(f"{handoff} is closed")
