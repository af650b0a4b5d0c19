"""Access: the people who sign in and the API keys that programs and web pages use."""

from __future__ import annotations

from services.console.frame import ADMINS, Visit, tenant_page
from services.console.pages.access.keys import KeyList
from services.console.pages.access.people import PeopleList


@tenant_page("access", area="access", roles=ADMINS)
async def page(visit: Visit) -> None:
    """Both lists, each with what changes it."""
    await PeopleList(visit).draw()
    await KeyList(visit).draw()
