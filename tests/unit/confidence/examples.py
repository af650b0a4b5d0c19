"""Texts and builders that several tests of the scorer share."""

from typing import Any

from services.confidence import coefficients
from services.confidence.scorer import Scorer
from services.confidence.scoring import Score, ScoreInputs

PLANS = (
    "Metrica offers three plans. The Pro plan costs $49 per month and includes unlimited dashboards. "
    "You can cancel a subscription at any time from the billing page."
)
PASSWORD = (
    "To reset your password, open Settings, choose Security and click Reset password. "
    "We send a link to your e-mail address."
)
DEFLECTION = "I'm sorry, I don't have information about that."
LONG_FACTS = (
    "The Treaty of Tordesillas was signed on 7 June 1494 in Tordesillas, Spain, and divided the newly"
    " discovered lands "
    "outside Europe between Portugal and Castile along a meridian 370 leagues west of the Cape Verde"
    " islands. "
) * 6

SCORER = Scorer(coefficients.load())


def scored(message: str, reply: str, **more: Any) -> Score:
    """The score of a reply by the shipped coefficients."""
    return SCORER.score(ScoreInputs(message, reply, **more))
