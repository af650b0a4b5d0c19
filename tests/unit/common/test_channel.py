"""The parts of a channel that need no server: how much time a nested call gets, and the service config."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from services.common.grpc_channel import budget, service_config

seconds = st.floats(0, 1e6)


def test_without_a_deadline_a_call_gets_what_it_wants() -> None:
    assert budget(5.0, None, 100.0) == 5.0


def test_with_a_deadline_it_gets_the_rest_less_a_margin() -> None:
    assert budget(5.0, 101.0, 100.0) == 0.98
    assert budget(0.1, 101.0, 100.0) == 0.1
    assert round(budget(5.0, 100.1, 100.0), 6) == 0.095
    assert budget(5.0, 100.004, 100.0) == 0.0
    assert budget(5.0, 99.0, 100.0) == 0.0


@given(seconds, seconds, seconds)
def test_a_budget_is_never_negative_nor_beyond_what_is_left_or_wanted(wanted, deadline, now) -> None:
    given_time = budget(wanted, deadline, now)
    assert 0.0 <= given_time <= wanted
    assert given_time <= max(0.0, deadline - now)


def test_the_service_config_asks_for_round_robin_health_and_bounded_retries() -> None:
    config = service_config("pkg.Service", 4)
    json.dumps(config)
    assert config["loadBalancingConfig"] == [{"round_robin": {}}]
    assert config["healthCheckConfig"] == {"serviceName": "pkg.Service"}
    (method,) = config["methodConfig"]
    assert method["retryPolicy"]["maxAttempts"] == 4
    assert method["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]
    assert set(service_config("", 1)) == {"loadBalancingConfig"}
