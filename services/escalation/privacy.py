"""One customer's data, exported or erased."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import Connection

from services.common.clock import Clock
from services.common.errors import invalid_field
from services.escalation.accounts import change_log
from services.escalation.accounts.change_log import Actor, current_actor
from services.escalation.store import change_log as audit_log
from services.escalation.store import conversations, erasure, transcripts
from services.escalation.store.database import Database
from services.escalation.store.erasure import Erased
from services.escalation.tenants.directory import TenantDirectory

Row = Mapping[Any, Any]
_PAGE: Final = 200
# A conversation may be added while we erase the others.
_ROUNDS: Final = 5


class Privacy:
    """See the module. Raises ServiceError(NOT_FOUND) for a tenant that does not exist.

    The audit log says that it was done, by whom and how much, and never for which customer: what was erased
    must not live on there.
    """

    def __init__(self, database: Database, directory: TenantDirectory, clock: Clock) -> None:
        """Both are opened by whoever made them."""
        self._database = database
        self._directory = directory
        self._clock = clock

    async def export(
        self, tenant_id: str, address: str, channel: str
    ) -> AsyncIterator[tuple[Row, Sequence[Row]]]:
        """Conversations of a customer with their messages, the oldest first, drafts that were withheld among
        them.

        A long conversation comes in several parts. Nothing for a customer who is not known.
        """
        tenant = await self._directory.get(tenant_id)
        actor = current_actor()
        address = _identifier(address)

        def begin(connection: Connection) -> Sequence[str]:
            found = erasure.contacts_of(connection, tenant.id, address, channel)
            ids = erasure.conversations_of(connection, found)
            self._log(connection, tenant.id, actor, change_log.CUSTOMER_EXPORTED, Erased(len(ids)))
            return ids

        for conversation_id in await self._database.write(begin):
            after = ""
            while True:
                part = await self._database.read(lambda c: _part(c, conversation_id, after))  # noqa: B023
                if part is None:
                    break
                conversation, messages = part
                if messages or not after:
                    yield conversation, messages
                if len(messages) < _PAGE:
                    break
                after = messages[-1]["id"]

    async def erase(self, tenant_id: str, address: str, channel: str) -> Erased:
        """Erase a customer; done again it finds nothing and changes nothing.

        Texts, drafts, addresses and identifiers go; rows, counts and decisions stay. Conversations are
        closed, with their open handoffs; what was about to be sent is cancelled.
        """
        tenant = await self._directory.get(tenant_id)
        actor = current_actor()
        address = _identifier(address)
        erased = Erased()
        for _ in range(_ROUNDS):
            found, ids = await self._database.read(lambda c: _known(c, tenant.id, address, channel))
            if not found:
                break
            for conversation_id in ids:
                # One unit for each: nobody waits for the whole of them.
                erased += await self._database.write(
                    lambda c: erasure.erase_conversation(
                        c,
                        tenant.id,
                        conversation_id,  # noqa: B023 - used before the next one is taken
                        now=self._clock.now(),
                    )
                )
            await self._database.write(lambda c: erasure.forget_contacts(c, found))  # noqa: B023
        await self._database.write(
            lambda c: self._log(c, tenant.id, actor, change_log.CUSTOMER_ERASED, erased)
        )
        return erased

    def _log(
        self, connection: Connection, tenant_id: str, actor: Actor, action: str, how_much: Erased
    ) -> None:
        audit_log.record(
            connection,
            tenant_id,
            actor,
            action,
            "customer",
            now=self._clock.now(),
            after={name: number for name, number in asdict(how_much).items() if number},
        )


def _identifier(address: str) -> str:
    given = "".join(address.split()) if address.lstrip("+ ")[:1].isdigit() else address.strip()
    if not given or "\0" in given:
        raise invalid_field("address", "write the customer's address or user id")
    return given


def _known(
    connection: Connection, tenant_id: str, address: str, channel: str
) -> tuple[Sequence[str], Sequence[str]]:
    found = erasure.contacts_of(connection, tenant_id, address, channel)
    return found, erasure.conversations_of(connection, found)


def _part(connection: Connection, conversation_id: str, after: str) -> tuple[Row, Sequence[Row]] | None:
    conversation = conversations.get(connection, conversation_id)
    if conversation is None:
        return None
    return conversation, transcripts.messages_after(connection, conversation_id, after, _PAGE, withheld=True)
