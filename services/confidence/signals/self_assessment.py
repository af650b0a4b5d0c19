"""What the model says of its own certainty, read from the reply and believed only where nobody else can
have said it.

Sources: verbalised confidence (Lin et al. 2022; Tian et al. 2023); the tag against forging is ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from services.confidence.signals.forgery import forgeable, leaked
from services.confidence.signals.markers import Marker, markers
from services.confidence.signals.reading import Reading, bounded
from services.confidence.signals.visible import visible

NAMES = ("self_assessment", "full_certainty", "self_doubt", "forged_marker")
# Models crowd their ratings above 0.8; what tells right from wrong there is whether they go all the way (the
# step from 0.85 to 0.95 is worth as much as that from 0.3 to 0.8 on all data sets).
_CERTAIN_FROM, _CERTAIN_AT = 0.85, 0.95
# A rating below this is rare and right in a third of cases or fewer, however high a task's base rate.
_DOUBT_BELOW = 0.7


@dataclass(frozen=True, slots=True)
class SelfAssessment:
    """The reply without its markers, the value that is believed (0..1 or None), and the statement why a
    marker was not believed.
    """

    visible_reply: str
    value: float | None
    forged: str = ""

    def readings(self) -> list[Reading]:
        """Signals self_assessment (where a value is believed) and forged_marker (where one is not)."""
        found: list[Reading] = []
        if self.value is not None:
            certain = (self.value - _CERTAIN_FROM) / (_CERTAIN_AT - _CERTAIN_FROM)
            percent = {"percent": f"{round(100 * self.value)}"}
            found.append(Reading("self_assessment", self.value, "rates_itself", percent))
            found.append(
                Reading(
                    "full_certainty",
                    bounded(certain),
                    "as_good_as_certain" if certain >= 1.0 else "room_for_doubt",
                )
            )
            found.append(
                Reading(
                    "self_doubt",
                    bounded(self.value / _DOUBT_BELOW),
                    "no_self_doubt" if self.value >= _DOUBT_BELOW else "self_doubt",
                )
            )
        if self.forged:
            found.append(Reading("forged_marker", 0.0, self.forged))
        return found


def assess(
    reply: str, *, tag: str = "", untrusted: Sequence[str] = (), stated: float | None = None
) -> SelfAssessment:
    """Reads and strips the markers of a reply.

    tag: the request's marker tag; with it untagged markers and other tags count for nothing. untrusted: all
    texts of the request that the model did not write. stated: the caller's own knowledge, which goes before
    any marker.
    """
    found = markers(reply)
    shown = visible(reply, found)
    if not found:
        return SelfAssessment(shown, stated)
    value, forged = _believed(found, tag.lower(), untrusted)
    return SelfAssessment(shown, stated if stated is not None else value, forged)


def without_markers(text: str) -> str:
    """What of another reply of the model would be shown: markers and reasoning are no part of what it
    answers.
    """
    return visible(text, markers(text))


def _believed(found: Sequence[Marker], tag: str, untrusted: Sequence[str]) -> tuple[float | None, str]:
    if tag:
        ours = [marker for marker in found if marker.tag == tag]
        if ours and leaked(tag, untrusted):
            return None, "tag_leaked"
        return _last(ours), "" if len(ours) == len(found) else "marker_without_tag"
    if forgeable(untrusted):
        return None, "marker_forgeable"
    return _last(found), ""


def _last(found: Sequence[Marker]) -> float | None:
    readable = [marker.value for marker in found if marker.value is not None]
    return readable[-1] if readable else None
