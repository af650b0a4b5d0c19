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
from services.escalation.store import conversations, erasure, group_messages, transcripts
from services.escalation.store.database import Database
from services.escalation.store.erasure import Erased, Known
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
        them; then of each group what they wrote there, and nothing of the others.

        A long conversation comes in several parts. Nothing for a customer who is not known.
        """
        tenant = await self._directory.get(tenant_id)
        actor = current_actor()
        address = _identifier(address)

        def begin(connection: Connection) -> tuple[Known, Sequence[str], Sequence[str]]:
            known, ids, groups = _standing(connection, tenant.id, address, channel)
            exported = Erased(len(ids) + len(groups))
            self._log(connection, tenant.id, actor, change_log.CUSTOMER_EXPORTED, exported)
            return known, ids, groups

        known, ids, groups = await self._database.write(begin)
        for conversation_id in ids:
            async for part in self._parts(conversation_id, None):
                yield part
        for conversation_id in groups:
            async for part in self._parts(conversation_id, known.identifiers):
                yield part

    async def _parts(
        self, conversation_id: str, writers: frozenset[str] | None
    ) -> AsyncIterator[tuple[Row, Sequence[Row]]]:
        """A conversation in parts; of a group's only what the writers wrote."""
        after = ""
        while True:
            part = await self._database.read(lambda c: _part(c, conversation_id, after, writers))  # noqa: B023 - used before it changes
            if part is None:
                return
            conversation, messages = part
            if messages or not after:
                yield conversation, messages
            if len(messages) < _PAGE:
                return
            after = messages[-1]["id"]

    async def erase(self, tenant_id: str, address: str, channel: str) -> Erased:
        """Erase a customer; done again it finds nothing and changes nothing.

        Texts, drafts, addresses and identifiers go; rows, counts and decisions stay. Conversations are
        closed, with their open handoffs; what was about to be sent is cancelled. Of a group's conversation
        only what they wrote goes.
        """
        tenant = await self._directory.get(tenant_id)
        actor = current_actor()
        address = _identifier(address)
        erased = Erased()
        for _ in range(_ROUNDS):
            known, ids, groups = await self._database.read(
                lambda c: _standing(c, tenant.id, address, channel)
            )
            if not known.contact_ids and not groups:
                break
            # Before their contacts: these name all their identifiers.
            for conversation_id in groups:
                erased += await self._erase_in_group(tenant.id, conversation_id, known)
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
            await self._database.write(lambda c: erasure.forget_contacts(c, known.contact_ids))  # noqa: B023
        await self._database.write(
            lambda c: self._log(c, tenant.id, actor, change_log.CUSTOMER_ERASED, erased)
        )
        return erased

    async def _erase_in_group(self, tenant_id: str, conversation_id: str, known: Known) -> Erased:
        erased = Erased()
        while True:
            count = await self._database.write(
                lambda c: group_messages.erase_written(
                    c, tenant_id, conversation_id, known.identifiers, _PAGE, now=self._clock.now()
                )
            )
            erased += Erased(messages=count)
            if count < _PAGE:
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


def _standing(
    connection: Connection, tenant_id: str, address: str, channel: str
) -> tuple[Known, Sequence[str], Sequence[str]]:
    """Who it is, their conversations, and those of groups in which they wrote."""
    known = erasure.customer_of(connection, tenant_id, address, channel)
    return (
        known,
        erasure.conversations_of(connection, known.contact_ids),
        group_messages.conversations_with(connection, tenant_id, known.identifiers, channel),
    )


def _part(
    connection: Connection, conversation_id: str, after: str, writers: frozenset[str] | None
) -> tuple[Row, Sequence[Row]] | None:
    conversation = conversations.get(connection, conversation_id)
    if conversation is None:
        return None
    if writers is not None:
        return conversation, group_messages.written(connection, conversation_id, writers, after, _PAGE)
    return conversation, transcripts.messages_after(connection, conversation_id, after, _PAGE, withheld=True)
