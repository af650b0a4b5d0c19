"""The text diagram of `metachat reliability`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from metachat.escalation.v1 import insight_pb2

from services.cli.reliability import WIDTH, diagram, points

SHARES = st.floats(0, 1)


def test_a_line_of_the_diagram() -> None:
    band = insight_pb2.ReliabilityBin(
        mean_score=0.9, share_correct=0.5, interval_lower=0.4, interval_upper=0.6
    )
    assert diagram(band) == " " * 20 + "-" * 5 + "*" + "-" * 5 + " " * 14 + "|"


@given(SHARES, SHARES, SHARES, SHARES)
def test_both_marks_stand_in_every_line(mean: float, share: float, low: float, high: float) -> None:
    line = diagram(
        insight_pb2.ReliabilityBin(
            mean_score=mean,
            share_correct=share,
            interval_lower=min(low, share),
            interval_upper=max(high, share),
        )
    )
    assert len(line) <= WIDTH + 1
    assert ("#" in line) != ("*" in line and "|" in line)


def test_each_coverage_once() -> None:
    curve = [insight_pb2.RiskPoint(coverage=share) for share in (0.3, 0.8, 1.0)]
    answer = insight_pb2.GetReliabilityResponse(risk_coverage=curve)
    assert [round(point.coverage, 6) for point in points(answer)] == [0.3, 0.8, 1.0]
