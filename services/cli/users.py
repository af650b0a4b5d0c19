"""`metachat users`: create, list, set-password, disable, enable."""

from __future__ import annotations

import sys

import click
from metachat.escalation.v1 import user_pb2, user_pb2_grpc

from services.cli.connection import escalation_address, open_stub, plain_errors
from services.cli.output import print_json, print_table

ROLES = click.Choice(["agent", "admin"], case_sensitive=False)


def _stub() -> user_pb2_grpc.UserServiceStub:
    return open_stub(user_pb2_grpc.UserServiceStub, escalation_address())


def _password() -> str:
    """Asked for without showing it; from a pipe, its first line. Never an option: others could see it."""
    if sys.stdin.isatty():
        return str(click.prompt("password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\r\n")


def _id_of(stub: user_pb2_grpc.UserServiceStub, tenant: str, user: str) -> str:
    """The id of a user given by id or e-mail address."""
    known = stub.ListUsers(user_pb2.ListUsersRequest(tenant_id=tenant)).users
    found = [one.id for one in known if user == one.id or user.casefold() == one.email.casefold()]
    if not found:
        raise click.ClickException(f"{tenant} has no user {user}: metachat users list {tenant}")
    return found[0]


@click.group(name="users")
def command() -> None:
    """The people who sign in to the console for a tenant."""


@command.command()
@click.argument("tenant")
@click.argument("email")
@click.option("--name", "display_name", default="", help="the name customers see (default: from the address)")
@click.option("--role", type=ROLES, default="agent", show_default=True, help="what the user may do")
def create(tenant: str, email: str, display_name: str, role: str) -> None:
    """Create a user of TENANT who signs in with EMAIL; the password is asked for, or read from a pipe."""
    request = user_pb2.CreateUserRequest(
        tenant_id=tenant,
        email=email,
        display_name=display_name,
        role=user_pb2.User.Role.Value(role.upper()),
        password=_password(),
    )
    with plain_errors(escalation_address()):
        user = _stub().CreateUser(request)
    click.echo(f"created {role.lower()} {user.email} of {tenant}: {user.id}")


@command.command(name="list")
@click.argument("tenant")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def list_users(tenant: str, as_json: bool) -> None:
    """List the users of TENANT."""
    with plain_errors(escalation_address()):
        users = _stub().ListUsers(user_pb2.ListUsersRequest(tenant_id=tenant)).users
    if as_json:
        print_json(users)
        return
    print_table(
        ["ID", "E-MAIL", "NAME", "ROLE", "STATE"],
        (
            (
                user.id,
                user.email,
                user.display_name,
                user_pb2.User.Role.Name(user.role).lower(),
                "disabled" if user.disabled else "available" if user.available else "away",
            )
            for user in users
        ),
        empty=f"no users yet: metachat users create {tenant} EMAIL",
    )


@command.command(name="set-password")
@click.argument("tenant")
@click.argument("user")
def set_password(tenant: str, user: str) -> None:
    """Give USER (id or e-mail address) of TENANT a new password, asked for or read from a pipe."""
    password = _password()
    with plain_errors(escalation_address()):
        stub = _stub()
        stub.UpdateUser(
            user_pb2.UpdateUserRequest(
                tenant_id=tenant, user_id=_id_of(stub, tenant, user), password=password
            )
        )
    click.echo(f"{user}: the password is changed")


@command.command()
@click.argument("tenant")
@click.argument("user")
def disable(tenant: str, user: str) -> None:
    """Keep USER (id or e-mail address) of TENANT from signing in."""
    _set_disabled(tenant, user, disabled=True)


@command.command()
@click.argument("tenant")
@click.argument("user")
def enable(tenant: str, user: str) -> None:
    """Let USER (id or e-mail address) of TENANT sign in again."""
    _set_disabled(tenant, user, disabled=False)


def _set_disabled(tenant: str, user: str, *, disabled: bool) -> None:
    with plain_errors(escalation_address()):
        stub = _stub()
        stub.UpdateUser(
            user_pb2.UpdateUserRequest(
                tenant_id=tenant, user_id=_id_of(stub, tenant, user), disabled=disabled
            )
        )
    click.echo(f"{user}: {'may no longer sign in' if disabled else 'may sign in again'}")
