"""What a responder is, and how the tenant's is picked.

Guarantees of every responder, tested for each:

- `draft` never raises for what the far side does: timeout, refusal, nonsense are Drafts with `failure`.
- It comes back within `seconds`, or is cancelled without harm.
- The Draft keeps within the limits of its proto; no secret stands in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from metachat.escalation.v1.conversation_pb2 import Draft, DraftTask
from metachat.escalation.v1.settings_pb2 import LlmSettings


class Responder(Protocol):
    """Drafts a reply to one customer message."""

    async def draft(self, task: DraftTask, question: str, *, tenant_id: str, seconds: float) -> Draft:
        """A reply, or the reason why there is none, within `seconds`."""
        ...

    async def warm_up(self) -> None:
        """Load what the first draft would wait for; called when a tenant is seen that uses this one."""
        ...

    async def close(self) -> None:
        """Give connections back."""
        ...


@runtime_checkable
class LanguageModel(Protocol):
    """A responder with a model behind it, which can be told other things than to answer a customer."""

    async def write(
        self, llm: LlmSettings, messages: Sequence[Mapping[str, str]], *, seconds: float
    ) -> Draft:
        """What the model makes of the messages (role and content), as the reply of a Draft; raises nothing
        for what the far side does.
        """
        ...


class Responders:
    """All responders by the name tenants give in `llm.provider`."""

    def __init__(self, by_name: Mapping[str, Responder], *, default: str = "knowledge") -> None:
        """`default` answers for tenants that name none. Raises ValueError where it is not among them."""
        if default not in by_name:
            raise ValueError(f"no responder is called {default!r}")
        self._by_name = dict(by_name)
        self._default = default

    def name_for(self, provider: str) -> str:
        """The provider, or the default where a tenant names none."""
        return provider or self._default

    def pick(self, provider: str) -> Responder | None:
        """The responder of that name; None where there is none."""
        return self._by_name.get(self.name_for(provider))

    def model(self, provider: str) -> LanguageModel | None:
        """The responder of that name where it has a model; else None."""
        responder = self.pick(provider)
        return responder if isinstance(responder, LanguageModel) else None

    async def warm_up(self, provider: str) -> None:
        """Load what the provider's first draft would wait for; an unknown name is passed over."""
        responder = self.pick(provider)
        if responder is not None:
            await responder.warm_up()

    async def close(self) -> None:
        """Close all of them."""
        for responder in self._by_name.values():
            await responder.close()
