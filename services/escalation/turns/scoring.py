"""What the turn asks of the confidence service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from metachat.confidence.v1.confidence_pb2 import BuildInstructionsRequest, ScoreRequest, ScoreResponse


@dataclass(frozen=True, slots=True)
class Instructions:
    """What makes a model assess itself, and the tag its marker must carry; empty where there are none."""

    text: str = ""
    marker_tag: str = ""


class Scoring(Protocol):
    """What the turn asks of the confidence service. Never raises for a service that is away."""

    @property
    def scorer_version(self) -> str:
        """Who answered last; empty before the first answer."""

    async def score(self, request: ScoreRequest) -> ScoreResponse | None:
        """The score; None where none can be had in time."""

    async def instructions(
        self, strategy: BuildInstructionsRequest.Strategy.ValueType, locale: str
    ) -> Instructions:
        """Instructions for the system prompt; empty where none can be had in time."""
