"""What the topic detectors cost on a text of 1 KB, warm: medians in µs of CPU, one line each.

python -m benchmarks.topics
"""

import statistics
import time
from collections.abc import Callable

from services.topics.handoff_intent import detect, matches_keyword
from services.topics.high_stakes import assess, classify, matcher_for
from services.topics.urgency import is_urgent
from services.topics.words import words_of

PLAIN = (
    "Thank you for your message. Your order left our warehouse on Tuesday and the carrier tells us that "
    "it is on its way. You can follow the parcel with the number in your confirmation mail; it usually "
    "takes two or three days. If nobody is at home the driver leaves a card and brings the parcel to the "
    "nearest shop, where it waits for a week. Should anything be missing or broken, take a picture and "
    "send it to us within fourteen days, we replace it at no charge. You can change the address until the"
    " evening before delivery, in the app under Orders, or here with me. The invoice is in your profile, "
    "under Documents, as a file that you can print. Please tell me the number of the order if you would "
    "like me to look it up, or the name and the postal code that you used. Our shop is open from nine to "
    "six on working days, on Saturdays until one, and closed on holidays. Returns are free within the "
    "country; for other countries we send you a label when you ask for it. Is there anything else that I "
    "can do for you today?"
)
MATCHING = (
    PLAIN[:860]
    + " I want to talk to a person about my medication, my lawyer says it is urgent. Call me today."
)
ACCENTED = (
    PLAIN[:500]
    + " Où est ma commande ? Može li dostava sutra, čim prije? Größe, Straße, mañana, São Paulo. " * 5
)
TERMS = ("recall notice", "lead paint", "warranty claim", "refund policy", "asbestos")
ROUNDS = 2000


def median_microseconds(work: Callable[[str], object], text: str) -> float:
    """Median cost of one call; each call gets a text of its own, so that no result is remembered."""
    texts = [f"{text} {number}" for number in range(ROUNDS)]
    costs = []
    for fresh in texts:
        start = time.perf_counter_ns()
        work(fresh)
        costs.append(time.perf_counter_ns() - start)
    return statistics.median(costs) / 1000


def everything(text: str) -> None:
    """What one turn asks: topics of the text, the wish for a person, a keyword of the tenant, urgency."""
    assess(text, "", TERMS)
    detect(text)
    matches_keyword(text, ("manager", "speak to sales"))
    is_urgent(text)


def main() -> None:
    """Prints the table."""
    works: dict[str, Callable[[str], object]] = {
        "cutting into words": words_of,
        "high-stakes word lists": matcher_for(TERMS).find,
        "high-stakes classifier": classify,
        "wish for a person": detect,
        "urgency": is_urgent,
        "all together": everything,
    }
    kinds = {"plain": PLAIN, "with matches": MATCHING, "with accents": ACCENTED}
    print(
        f"{'µs, median':<26}"
        + "".join(f"{f'{name} ({len(text)} chars)':>28}" for name, text in kinds.items())
    )
    for name, work in works.items():
        row = "".join(f"{median_microseconds(work, text):>28.1f}" for text in kinds.values())
        print(f"{name:<26}{row}")


if __name__ == "__main__":
    main()
