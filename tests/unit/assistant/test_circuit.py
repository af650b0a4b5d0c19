"""When a tenant's model is left alone, and what retries it may be burdened with."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.assistant.responders.circuit import Circuit, Circuits


def broken(circuit: Circuit, times: int = 3, at: float = 0.0, **fields: float) -> None:
    for _ in range(times):
        circuit.failed(at, chance=0.5, **fields)


def test_a_few_failures_change_nothing() -> None:
    circuit = Circuit()
    broken(circuit, 2)
    assert circuit.admit(0.0) == 0.0


def test_failures_in_a_row_leave_the_provider_alone_and_one_draft_tries_it() -> None:
    circuit = Circuit()
    broken(circuit)
    assert 9 < circuit.admit(0.0) <= 10
    assert circuit.admit(10.1) == 0.0
    assert circuit.admit(10.2) > 0  # one at a time
    circuit.succeeded()
    assert circuit.admit(10.3) == circuit.admit(10.3) == 0.0


def test_a_failed_try_waits_longer() -> None:
    circuit = Circuit()
    broken(circuit)
    assert circuit.admit(11.0) == 0.0
    circuit.failed(11.0, chance=0.5)
    assert 19 < circuit.admit(11.0) <= 20


def test_a_try_that_was_broken_off_is_made_by_another() -> None:
    circuit = Circuit()
    broken(circuit)
    circuit.admit(11.0)
    circuit.left()
    assert circuit.admit(11.0) == 0.0


def test_a_provider_that_asks_for_a_pause_gets_it_within_reason() -> None:
    circuit = Circuit()
    broken(circuit, retry_after=90.0)
    assert 89 < circuit.admit(0.0) <= 90
    broken(circuit, retry_after=1e9)
    assert circuit.admit(0.0) <= 300


def test_retries_are_paid_for_by_drafts() -> None:
    circuit = Circuit()
    made = sum(circuit.may_retry() for _ in range(50))
    assert made == 10
    for _ in range(11):  # a fifth each
        circuit.admit(0.0)
    assert sum(circuit.may_retry() for _ in range(50)) == 2


def test_tenants_and_hosts_are_apart() -> None:
    circuits = Circuits()
    assert circuits.of("a", "https://x/v1") is circuits.of("a", "https://x/v2")
    assert circuits.of("a", "https://x/v1") is not circuits.of("b", "https://x/v1")
    assert circuits.of("a", "https://x/v1") is not circuits.of("a", "https://y/v1")


@given(st.lists(st.tuples(st.sampled_from(["admit", "fail", "succeed"]), st.floats(0, 30)), max_size=60))
def test_nobody_waits_for_ever(steps: list[tuple[str, float]]) -> None:
    circuit, now = Circuit(), 0.0
    for what, seconds in steps:
        now += seconds
        if what == "admit":
            assert circuit.admit(now) <= 300
        elif what == "fail":
            circuit.failed(now, chance=1.0)
        else:
            circuit.succeeded()
            assert circuit.admit(now) == 0.0
