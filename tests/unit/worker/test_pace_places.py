"""A place that was taken at a provider and not used is free again."""

from __future__ import annotations

from services.worker.channels.pace import GO, Pace


def test_a_place_that_is_given_back_can_be_taken_at_once() -> None:
    pace = Pace("whatsapp", rate=1.0, pairs=True, now=lambda: 100.0)
    for _ in range(200):
        assert pace.ask("account", "somebody") is GO
        pace.unused("account", "somebody")
    assert pace.ask("account", "somebody") is GO
    assert pace.ask("account", "somebody").reason == "rate"


def test_places_that_are_given_back_do_not_add_up() -> None:
    pace = Pace("whatsapp", rate=1.0, pairs=True, now=lambda: 100.0)
    pace.unused("account", "somebody")
    pace.unused("account", "somebody")
    assert pace.ask("account", "somebody") is GO
    assert pace.ask("account", "somebody") is not GO


def test_messages_that_wait_for_an_earlier_one_do_not_keep_it_from_its_place() -> None:
    clock = [100.0]
    pace = Pace("whatsapp", rate=80.0, pairs=True, now=lambda: clock[0])
    for _ in range(45):
        assert pace.ask("account", "somebody") is GO
    clock[0] += 6.0
    # A later message comes first, and is told that an earlier one is not out yet.
    assert pace.ask("account", "somebody") is GO
    pace.unused("account", "somebody")
    assert pace.ask("account", "somebody") is GO
