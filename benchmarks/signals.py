"""What a score costs, in process, module by module: medians over many runs.

Run from the repository's root: `python -m benchmarks.signals [--rounds N]`.
"""

import argparse
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable

from services.confidence import coefficients
from services.confidence.scorer import Scorer
from services.confidence.scoring import ScoreInputs
from services.confidence.signals import grounding, logprobs, question, samples, substance, wording
from services.confidence.signals.self_assessment import assess
from services.confidence.words import Words
from services.topics import high_stakes

QUESTION = "How do I move my team from the Starter plan to the Pro plan without losing our dashboards?"
SENTENCES = (
    "Open Settings, choose Billing and then Change plan.",
    "The Pro plan costs $49 per month for each workspace and includes unlimited dashboards.",
    "Your dashboards, data sources and team members move with the workspace, so nothing is lost.",
    "The change takes effect at once and the remaining days of the Starter plan are credited.",
    "If you pay by invoice, the new price appears on the invoice of the following month.",
    "Only owners of a workspace can change its plan; editors see the button but cannot press it.",
    "Metrica keeps reports that were shared by link, and the links stay the same after the move.",
    "We send a confirmation to the owner's e-mail address within 5 minutes of the change.",
    "You can move back to the Starter plan at any time before the end of the month.",
    "Alerts, schedules and exports go on as before and need no new configuration by the team.",
    "Usage above 20 data sources is billed at $2 for each source and month.",
    "The history of changes is kept for 90 days and can be read under Settings, Audit log.",
)


def _text(start: int, size: int = 1024) -> str:
    """About a kilobyte of support talk; another start gives another order."""
    order = [SENTENCES[(start + step) % len(SENTENCES)] for step in range(len(SENTENCES))]
    return " ".join(order)[:size]


def _median(work: Callable[[], object], rounds: int) -> float:
    """Median CPU time of one run, in microseconds, over batches short enough to escape most interruptions."""
    for _ in range(20):
        work()
    taken = []
    for _ in range(rounds):
        began = time.thread_time_ns()
        for _ in range(10):
            work()
        taken.append((time.thread_time_ns() - began) / 10_000)
    return statistics.median(taken)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="batches of ten runs for each line")
    rounds = parser.parse_args().rounds
    began = time.perf_counter()
    scorer = Scorer(coefficients.load())
    loaded = time.perf_counter() - began
    reply = _text(0)
    others = tuple(_text(start) for start in range(1, 6))
    tokens = tuple(f" {word}" for word in reply.split())
    probable = tuple(-0.01 * (index % 50) for index in range(len(tokens)))
    text_only = ScoreInputs(QUESTION, reply)
    marked = ScoreInputs(QUESTION, f"{reply}\n[confidence a1b2c3d4: 90%]", marker_tag="a1b2c3d4")
    full = ScoreInputs(QUESTION, reply, samples=others, passages=others)
    everything = ScoreInputs(
        QUESTION,
        reply,
        samples=others,
        passages=others,
        tokens=tokens,
        logprobs=probable,
        self_assessment=0.9,
    )
    asked, read = Words(QUESTION), Words(reply)
    sampled = [Words(other) for other in others]
    for words in (asked, read, *sampled):
        _ = (words.tokens, words.content, words.pairs, words.sentences, words.numbers)
    distinct = frozenset(read.tokens)
    encoded = reply.encode()
    lines: list[tuple[str, Callable[[], object], float | None]] = [
        ("words: cut 1 KB", lambda: Words(reply).content, None),
        ("self_assessment: no marker", lambda: assess(reply), None),
        (
            "self_assessment: tagged marker",
            lambda: assess(marked.reply, tag="a1b2c3d4", untrusted=(QUESTION,)),
            None,
        ),
        ("wording", lambda: wording.read(reply, encoded, read.tokens, distinct), None),
        ("substance", lambda: substance.read(read, distinct, asked), None),
        ("question", lambda: question.read(QUESTION.encode(), len(asked.tokens)), None),
        ("topics: high stakes", lambda: high_stakes.assess(QUESTION, reply), None),
        ("logprobs: 1 KB", lambda: logprobs.read(tokens, probable), None),
        ("samples: 5, cut before", lambda: samples.read(asked, read, sampled), None),
        ("grounding: 5, cut before", lambda: grounding.read(asked, read, sampled), None),
        ("score: text only", lambda: scorer.score(text_only), 150.0),
        ("score: tagged marker", lambda: scorer.score(marked), None),
        ("score: 5 samples, 5 passages", lambda: scorer.score(full), 1500.0),
        ("score: everything", lambda: scorer.score(everything), None),
    ]
    print(
        f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} cores, 1 KB texts"
    )
    print(f"coefficients loaded in {1000 * loaded:.1f} ms, peak memory {_memory():.0f} MB")
    print(f"{'module':<32}{'median µs':>10}{'at most':>9}")
    for name, work, limit in lines:
        taken = _median(work, rounds)
        mark = "" if limit is None else f"{limit:>9.0f}" + ("" if taken <= limit else "  OVER")
        print(f"{name:<32}{taken:>10.1f}{mark}")


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
