"""ListReviews and RecordVerdict: requests and answers of what people say of replies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from metachat.escalation.v1 import handoff_pb2

from services.escalation.servicers.requests import line, tenant_of
from services.escalation.servicers.translation import outcome_message, storable
from services.escalation.store.pages import page_size, page_token, position_of
from services.escalation.turns.outcome import from_row
from services.escalation.verdicts.reviews import Reviews, Spoken
from services.escalation.verdicts.rules import Said
from services.escalation.verdicts.sampling import SUGGESTED

_PAGE: Final = 50


class ReviewRpcs:
    """The part of HandoffService that is about verdicts; mixed into its servicer."""

    _reviews: Reviews

    async def ListReviews(
        self, request: handoff_pb2.ListReviewsRequest, _context: Any
    ) -> handoff_pb2.ListReviewsResponse:
        """See the contract."""
        size = page_size(request.page_size, _PAGE)
        position = position_of(request.page_token, 1)
        rows = await self._reviews.list(
            tenant_of(request.tenant_id), after=position[0] if position else "", limit=size + 1
        )
        return handoff_pb2.ListReviewsResponse(
            reviews=[review_message(row) for row in rows[:size]],
            next_page_token=page_token(rows[size - 1]["id"]) if len(rows) > size else "",
        )

    async def RecordVerdict(
        self, request: handoff_pb2.RecordVerdictRequest, _context: Any
    ) -> handoff_pb2.RecordedVerdict:
        """See the contract."""
        return await self._reviews.record(
            Spoken(
                tenant_id=tenant_of(request.tenant_id),
                turn_id=request.turn_id,
                said=Said(handoff_pb2.RecordVerdictRequest.Verdict.Name(request.verdict).lower()),
                edited_text=storable(request.edited_text),
                agent=line(request.agent, "agent"),
                request_id=request.request_id,
            )
        )


def review_message(row: Mapping[Any, Any]) -> handoff_pb2.Review:
    """A row of `store.verdicts.waiting_reviews` for callers."""
    suggested = row["review"] == SUGGESTED
    return handoff_pb2.Review(
        turn_id=row["id"],
        origin=handoff_pb2.Review.SUGGESTED if suggested else handoff_pb2.Review.AUDIT,
        user_message=row["user_message"] or "",
        reply=row["reply"],
        outcome=outcome_message(from_row(row)),
        sampling_probability=1.0 if suggested else row["sampling_probability"],
    )
