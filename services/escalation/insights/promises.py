"""What a certificate says, in sentences; pure."""

from __future__ import annotations

from typing import Final

from services.escalation.insights.certificate_gaps import least_to_judge, to_judge
from services.escalation.insights.guarantees import EXACT_BINOMIAL, Certificate, Versions

_ENOUGH: Final = 100_000


def promise(
    certificate: Certificate, *, alpha: float, delta: float, versions: Versions | None, review: float
) -> str:
    """The promise, or why there is none. `versions`: what the scores come from; None: brought along."""
    if certificate.threshold is None:
        return _none(certificate, alpha, delta, versions)
    error = certificate.error
    wrong = 0 if error is None else round(error.error * error.verdicts)
    seen = (
        f"{wrong} of {_many(certificate.verdicts, 'judged reply', 'judged replies')} were wrong"
        if certificate.test == EXACT_BINOMIAL
        else f"the weighted error of {_many(certificate.verdicts, 'judged reply', 'judged replies')} is"
        f" {_percent(0.0 if error is None else error.error)}"
    )
    sentences = [
        f"With a probability of at least {_percent(1 - delta)}, at most {_percent(alpha)} of the scored"
        f" replies that are sent on their own are wrong, if the immediate threshold is"
        f" {certificate.threshold:g}"
        f" (review {review:g}): {seen} from there on.",
        f"{_percent(certificate.coverage)} of the scored replies are still sent.",
        f"It holds {_bound(versions)} and while customers ask as they did.",
    ]
    if certificate.floor and certificate.threshold <= certificate.floor:
        sentences.append(
            f"Below {certificate.floor:g} replies went to a person and were never drawn: nothing laxer can"
            " be proven."
        )
    return " ".join(sentences)


def _none(certificate: Certificate, alpha: float, delta: float, versions: Versions | None) -> str:
    least = least_to_judge(alpha=alpha, delta=delta, versions=versions)
    if not certificate.judged:
        if versions is not None and not versions.scorer:
            return "No safe threshold: no reply has been scored yet."
        drawn = "" if versions is None else f" drawn at random and scored by scorer {versions.scorer}"
        return (
            f"No safe threshold: nobody has judged a reply{drawn}. At least {_verdicts(least)} are needed,"
            " all of them right; a few times as many where some are wrong."
        )
    surest = certificate.surest
    if surest is not None and surest.error >= alpha:
        return (
            "No safe threshold: even of the surest"
            f" {_many(surest.verdicts, 'judged reply', 'judged replies')} {_percent(surest.error)} were"
            f" wrong, and at most {_percent(alpha)} is asked for. More verdicts do not help against that:"
            " improve the answers or ask for less."
        )
    if certificate.needed is None or certificate.needed > _ENOUGH:
        return (
            f"No safe threshold: {_verdicts(certificate.verdicts)} do not prove an error of at"
            f" most {_percent(alpha)}, and as many wrong ones among more would not either."
        )
    more = to_judge(certificate.needed, versions)
    return (
        f"No safe threshold yet: {_verdicts(certificate.verdicts)} do not prove an error of at"
        f" most {_percent(alpha)} with a probability of {_percent(1 - delta)}. About"
        f" {_many(more, 'more verdict', 'more verdicts')} would, if no more of them are wrong."
    )


def _bound(versions: Versions | None) -> str:
    if versions is None:
        return "for scores made like those that were brought along"
    return f"while {_scored_by(versions)} stay in force"


def _scored_by(versions: Versions) -> str:
    return f"scorer {versions.scorer} and calibration {versions.calibration or 'global'}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _verdicts(count: int) -> str:
    return _many(count, "verdict", "verdicts")


def _many(count: int, one: str, more: str) -> str:
    return f"{count:,} {one if count == 1 else more}"
