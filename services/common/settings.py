"""Reads the environment into typed values and reports every fault in it at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})


class SettingsError(Exception):
    """What stands in the environment (or in its way) keeps a process from starting.

    `faults` has one plain sentence each, naming the variable and what to do; `str()` gives them one a line.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        """Takes the faults in the order they were found."""
        self.faults: tuple[str, ...] = tuple(faults)
        super().__init__("\n".join(self.faults))


class Secret:
    """A text that shows itself only when asked by name: never in a repr, a format or a log line."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Wraps the text."""
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a Secret is not serialised")


class EnvironmentReader:
    """Reads variables one by one and collects what is wrong with them; `finish` raises it all together.

    A variable that is set to an empty text counts as not set, as `NAME= command` leaves it. After a fault the
    reading method returns its default (or an empty text), so that reading goes on to the next fault.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Takes the environment; it is not changed."""
        self._environment = environment
        self._faults: list[str] = []

    def is_set(self, name: str) -> bool:
        """Whether the variable has a value."""
        return bool(self._environment.get(name, "").strip())

    def text(self, name: str, default: str | None = None, *, required: bool = False) -> str:
        """The variable's text, without white space around it."""
        value = self._environment.get(name, "").strip()
        if value:
            return value
        if required:
            self.fault(f"{name} is not set: set it")
        return default or ""

    def secret(self, name: str, default: str = "", *, required: bool = False) -> Secret:
        """The variable's text, wrapped so that it cannot be shown by mistake."""
        return Secret(self.text(name, default, required=required))

    def integer(
        self, name: str, default: int, *, minimum: int | None = None, maximum: int | None = None
    ) -> int:
        """A whole number within the bounds, both inclusive."""
        value = self.text(name)
        if not value:
            return default
        try:
            number = int(value)
        except ValueError:
            self._refuse(name, value, "a whole number", minimum, maximum)
            return default
        if (minimum is not None and number < minimum) or (maximum is not None and number > maximum):
            self._refuse(name, value, "a whole number", minimum, maximum)
            return default
        return number

    def number(
        self, name: str, default: float, *, minimum: float | None = None, maximum: float | None = None
    ) -> float:
        """A finite number within the bounds, both inclusive."""
        value = self.text(name)
        if not value:
            return default
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        outside = (minimum is not None and number < minimum) or (maximum is not None and number > maximum)
        if outside or not math.isfinite(number):
            self._refuse(name, value, "a number", minimum, maximum)
            return default
        return number

    def flag(self, name: str, default: bool) -> bool:
        """true, 1, yes, on or false, 0, no, off, in any case."""
        value = self.text(name)
        if not value:
            return default
        if value.lower() in _TRUE:
            return True
        if value.lower() in _FALSE:
            return False
        self.fault(f"{name}={value!r} is neither true nor false: write true or false")
        return default

    def choice(self, name: str, default: str, choices: Sequence[str]) -> str:
        """One of the choices, matched in any case and returned as written in `choices`."""
        value = self.text(name)
        if not value:
            return default
        for choice in choices:
            if choice.lower() == value.lower():
                return choice
        self.fault(f"{name}={value!r} is unknown: use one of {', '.join(choices)}")
        return default

    def address(self, name: str, default: str) -> str:
        """An http or https address, without a slash at its end."""
        value = self.text(name, default).rstrip("/")
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            self.fault(f"{name}={value!r} is no address: write http://… or https://…")
        return value

    def fault(self, message: str) -> None:
        """Add a fault that the caller found; it should name the variable and say what to do."""
        self._faults.append(message)

    def finish(self) -> None:
        """Raise SettingsError if anything was wrong."""
        if self._faults:
            raise SettingsError(self._faults)

    def _refuse(self, name: str, value: str, kind: str, minimum: float | None, maximum: float | None) -> None:
        if minimum is not None and maximum is not None:
            kind = f"{kind} from {minimum} to {maximum}"
        elif minimum is not None:
            kind = f"{kind} of at least {minimum}"
        elif maximum is not None:
            kind = f"{kind} of at most {maximum}"
        self.fault(f"{name}={value!r} is not {kind}: correct it or leave it out")
