"""The laxest threshold that keeps a promised error, proven on verdicts; pure.

The promise: "the error among replies sent on their own is at most α, with probability 1 − δ". It is Learn
then Test (Angelopoulos, Bates, Candès, Jordan, Lei 2021, arXiv:2110.01052): thresholds are tested one after
the other from strict to lax, and a threshold that passes hands its level on to the next, so that the chance
of any false one stays at δ. Most of δ starts at the strict end; the rest waits at three laxer thresholds
for a walk that failed before them (the fallback form of the fixed sequence: Wiens and Dmitrienko 2005,
doi:10.1080/10543400500265660). Order, thresholds and levels come from scores alone, never from verdicts.

Where every reply had the same chance to be judged, the number of wrong ones among those sent is binomial
and its tail is the exact p-value. Where chances differ, w·(wrong − α) has a mean of at most 0 exactly where
the promise holds, and a bet against that (Waudby-Smith and Ramdas 2024, JRSS-B 86(1), arXiv:2010.09686)
gives the p-value; the binomial would not be valid there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from services.escalation.insights.estimates import Estimate, estimate

EXACT_BINOMIAL: Final = "exact_binomial"
BOUNDED_MEAN: Final = "bounded_mean"
DEFAULT_DELTA: Final = 0.1

# Thresholds are tried in steps of this share of the replies …
_STEP: Final = 0.025
# … from where this many times the fewest verdicts that can prove anything are expected: with fewer, one
# unlucky verdict would end the walk at its first step. Half of the replies are enough to begin with, if there
# are verdicts for it.
_FIRST_STEP: Final = 4.0
_FIRST_AT_MOST: Final = 0.5
_FIRST_AT_LEAST: Final = 1.1
# Share of δ that waits at each of these coverages.
_LATER: Final = (0.5, 0.75, 1.0)
_LATER_SHARE: Final = 0.1
# Thresholds are rounded up to what people can read and type.
_DIGITS: Final = 1000
_MOST_VERDICTS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Versions:
    """What a score comes from; empty where nothing was scored yet."""

    scorer: str
    calibration: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """One judged reply: its score 0..1, whether it was wrong, the inverse of its chance to be judged."""

    score: float
    wrong: bool
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Certificate:
    """What could be proven. `threshold` is None where nothing could.

    `verdicts`: how many it stands on, those among the sent replies; `coverage`: share 0..1 of the scored
    replies that are still sent; `needed`: where nothing could be proven, how many more verdicts would do if
    they turn out like those that are there (None: none would, or nobody can say); `floor`: the strictest
    threshold at which replies were judged, below which nothing can be known.
    """

    threshold: float | None
    verdicts: int
    judged: int
    coverage: float
    error: Estimate | None
    test: str
    needed: int | None
    surest: Estimate | None
    floor: float


def certify(
    verdicts: Sequence[Verdict],
    scores: Sequence[float],
    *,
    alpha: float,
    delta: float,
    floor: float = 0.0,
    unsendable: int = 0,
) -> Certificate:
    """The laxest certified threshold, at least `floor`.

    `scores`: of all replies that the threshold decides about, judged or not; the grid is drawn from them.
    `unsendable`: scored replies that go to a person whatever the threshold is; they count in the coverage.
    The order of `verdicts` must not depend on what they say.
    """
    test = EXACT_BINOMIAL if same_weights(verdicts) else BOUNDED_MEAN
    usable = [verdict for verdict in verdicts if verdict.score >= floor and verdict.weight > 0.0]
    pool = sorted((score for score in scores if score >= floor), reverse=True)
    steps = grid(pool, verdicts=len(usable), alpha=alpha, delta=delta, floor=floor)
    certified: float | None = None
    level = 0.0
    for threshold, share in steps:
        level += share * delta
        if level > 0.0 and p_value(_sent(usable, threshold), alpha, level, test) <= level:
            certified = threshold
        else:
            level = 0.0
    sent = [] if certified is None else _sent(usable, certified)
    total = len(scores) + unsendable
    covered = 0 if certified is None else sum(score >= certified for score in scores)
    nothing = certified is None
    return Certificate(
        threshold=certified,
        verdicts=len(usable) if nothing else len(sent),
        judged=len(verdicts),
        coverage=covered / total if total else 0.0,
        error=_estimate(usable if nothing else sent),
        test=test,
        needed=_needed(usable, steps, alpha, delta) if nothing else None,
        surest=_estimate(_sent(usable, steps[0][0])) if nothing and steps else None,
        floor=floor,
    )


def grid(
    pool: Sequence[float], *, verdicts: int, alpha: float, delta: float, floor: float = 0.0
) -> list[tuple[float, float]]:
    """Thresholds to try, strict to lax, each with the share of delta that begins there; the shares add to 1.

    Quantiles of the scores `pool` (descending), rounded up, down to `floor` or the lowest score.
    """
    if not pool or not verdicts:
        return []
    least = fewest(alpha, delta) / verdicts
    first = min(1.0, max(_STEP, min(_FIRST_AT_MOST, _FIRST_STEP * least), _FIRST_AT_LEAST * least))
    later = [coverage for coverage in _LATER if coverage > first]
    between = [first + _STEP * step for step in range(1, math.ceil((1.0 - first) / _STEP))]
    shares: dict[float, float] = {}
    for coverage in sorted({first, *between, *later}):
        threshold = _rounded(pool[math.ceil(coverage * len(pool)) - 1])
        if coverage >= 1.0:
            threshold = floor if floor > 0.0 else math.floor(pool[-1] * _DIGITS) / _DIGITS
        threshold = min(1.0, max(threshold, floor))
        share = 1.0 - _LATER_SHARE * len(later) if coverage == first else 0.0
        shares[threshold] = shares.get(threshold, 0.0) + share + _LATER_SHARE * (coverage in later)
    return sorted(shares.items(), reverse=True)


def p_value(sent: Sequence[Verdict], alpha: float, delta: float, test: str) -> float:
    """How surprising these verdicts on sent replies are if their error is above `alpha`: 0..1, valid however
    many there are.
    """
    if test == EXACT_BINOMIAL:
        return binomial_tail(sum(verdict.wrong for verdict in sent), len(sent), alpha)
    return betting_p_value([(verdict.wrong, verdict.weight) for verdict in sent], alpha, delta)


def binomial_tail(wrong: int, count: int, share: float) -> float:
    """P(at most `wrong` of `count`) where each happens with probability `share`, 0 < share < 1."""
    if wrong >= count:
        return 1.0
    if wrong >= share * count:
        # Above the mean: seen from the other side, where terms fall too.
        return max(0.0, 1.0 - binomial_tail(count - wrong - 1, count, 1.0 - share))
    log_term = (
        math.lgamma(count + 1)
        - math.lgamma(wrong + 1)
        - math.lgamma(count - wrong + 1)
        + wrong * math.log(share)
        + (count - wrong) * math.log1p(-share)
    )
    # From the largest down, relative to it; they fall so quickly that most are never made.
    total = term = 1.0
    for k in range(wrong, 0, -1):
        term *= k / (count - k + 1) * (1.0 - share) / share
        total += term
        if term < 1e-17 * total:
            break
    return min(1.0, math.exp(log_term) * total)


def betting_p_value(judged: Iterable[tuple[bool, float]], alpha: float, delta: float) -> float:
    """The p-value of "the weighted error is above `alpha`" for (wrong, weight > 0), in their order.

    Each loss is brought to 0..1 with mean above `alpha` exactly where the weighted error is above it:
    y = α + w (wrong − α) / max w. A gambler who bets on y < α, sized by what was seen before, cannot expect
    to gain then; the inverse of the most it ever had is a p-value (Ville's inequality).
    """
    losses = list(judged)
    if not losses:
        return 1.0
    heaviest = max(weight for _, weight in losses)
    capital = most = 1.0
    total, deviations = 0.5, 0.25
    for number, (wrong, weight) in enumerate(losses, start=1):
        loss = alpha + weight * (float(wrong) - alpha) / heaviest
        variance = max(deviations / number, 1e-6)
        stake = math.sqrt(2.0 * math.log(1.0 / delta) / (len(losses) * variance))
        capital *= 1.0 - min(stake, 0.75 / (1.0 - alpha)) * (loss - alpha)
        most = max(most, capital)
        total += loss
        deviations += (loss - total / (number + 1)) ** 2
    return 1.0 / most


def fewest(alpha: float, delta: float) -> int:
    """How many verdicts, all right, prove an error of at most `alpha` at level `delta`."""
    return math.ceil(math.log(delta) / math.log1p(-alpha))


def same_weights(verdicts: Sequence[Verdict]) -> bool:
    """Whether every reply had the same chance to be judged."""
    weights = [verdict.weight for verdict in verdicts]
    return not weights or max(weights) - min(weights) <= 1e-9 * max(weights)


def _sent(verdicts: Sequence[Verdict], threshold: float) -> list[Verdict]:
    return [verdict for verdict in verdicts if verdict.score >= threshold]


def _estimate(verdicts: Sequence[Verdict]) -> Estimate | None:
    return estimate((verdict.wrong, verdict.weight) for verdict in verdicts)


def _needed(
    verdicts: Sequence[Verdict], steps: Sequence[tuple[float, float]], alpha: float, delta: float
) -> int | None:
    """How many more verdicts would certify some threshold if errors stay as frequent as they are."""
    if not verdicts:
        return fewest(alpha, delta)
    totals = []
    for threshold, share in steps:
        if not share:
            continue  # only what came before it could have handed it a level
        sent = _sent(verdicts, threshold)
        found = _estimate(sent)
        count = None if found is None else _enough(found.error, alpha, share * delta)
        if count is not None:
            totals.append(math.ceil(count * len(verdicts) / len(sent)))
    return max(1, min(totals) - len(verdicts)) if totals else None


def _enough(error: float, alpha: float, delta: float) -> int | None:
    """How many verdicts with this share of wrong ones prove an error of at most `alpha`; None: too many."""
    if error >= alpha:
        return None
    low = high = fewest(alpha, delta)
    while binomial_tail(math.ceil(error * high), high, alpha) > delta:
        low, high = high, high * 2
        if high > _MOST_VERDICTS:
            return None
    while low < high:
        middle = (low + high) // 2
        proves = binomial_tail(math.ceil(error * middle), middle, alpha) <= delta
        low, high = (low, middle) if proves else (middle + 1, high)
    return high


def _rounded(score: float) -> float:
    return math.ceil(score * _DIGITS - 1e-9) / _DIGITS
