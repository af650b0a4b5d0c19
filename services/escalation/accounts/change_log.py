"""Who changes something, and what of it is kept in the audit log; the rows are `store/change_log.py`'s."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.common.caller import current_caller

TENANT_CREATED: Final = "tenant.created"
TENANT_UPDATED: Final = "tenant.updated"
TENANT_DELETED: Final = "tenant.deleted"
CHANNEL_PUT: Final = "channel.put"
CHANNEL_DELETED: Final = "channel.deleted"
KEY_CREATED: Final = "key.created"
KEY_REVOKED: Final = "key.revoked"
USER_CREATED: Final = "user.created"
USER_UPDATED: Final = "user.updated"
WEBHOOK_PUT: Final = "webhook.put"
WEBHOOK_DELETED: Final = "webhook.deleted"
DEAD_LETTERS_REPLAYED: Final = "dead_letters.replayed"
DEAD_LETTERS_DISCARDED: Final = "dead_letters.discarded"
CUSTOMER_EXPORTED: Final = "customer.exported"
CUSTOMER_ERASED: Final = "customer.erased"

_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: `subject` "operator" or "internal", or an API key; `user_id`: whom a service acts for."""

    subject: str
    key_id: str = ""
    user_id: str = ""


def current_actor() -> Actor:
    """The caller of the RPC that is being served; the service itself outside of one.

    To be asked before a unit of work starts: units run where the call is not known.
    """
    try:
        caller = current_caller()
    except LookupError:
        return Actor("internal")
    return Actor(caller.subject, caller.key_id, caller.acting_user)


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What differs between two JSON objects, as two objects of the same shape; lists count as one value."""
    old: dict[str, Any] = {}
    new: dict[str, Any] = {}
    for name in dict.fromkeys((*before, *after)):
        was, becomes = before.get(name, _ABSENT), after.get(name, _ABSENT)
        if was == becomes:
            continue
        if isinstance(was, Mapping) and isinstance(becomes, Mapping):
            was, becomes = difference(was, becomes)
        if was is not _ABSENT:
            old[name] = was
        if becomes is not _ABSENT:
            new[name] = becomes
    return old, new
