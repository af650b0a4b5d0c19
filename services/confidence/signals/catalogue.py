"""All signals by name: what they measure and where the idea comes from."""

from typing import NamedTuple


class Description(NamedTuple):
    """A signal's family ("text" is always there), meaning and source, and what to say where its input is
    missing.
    """

    name: str
    family: str
    meaning: str
    source: str


_MISSING = {
    "text": "nothing_to_judge",
    "stated": "not_rated",
    "logprobs": "no_probabilities",
    "samples": "no_alternatives",
    "passages": "no_passages",
    "courtesy": "no_courtesy",
}

DESCRIPTIONS: tuple[Description, ...] = (
    Description(
        "deflection",
        "text",
        "How little of the reply says that it has no answer.",
        "Wen et al. 2024, Know your limits",
    ),
    Description(
        "refusal", "text", "How little of the reply refuses to answer.", "Wen et al. 2024, Know your limits"
    ),
    Description(
        "stated_uncertainty",
        "text",
        "How rarely the reply hedges or doubts itself.",
        "Hyland 2005, Metadiscourse",
    ),
    Description(
        "reservations", "text", "How rarely the reply negates and contrasts.", "docs/scoring-report.md"
    ),
    Description("specifics", "text", "How densely the reply names names.", "docs/scoring-report.md"),
    Description(
        "empty_talk",
        "text",
        "Whether the reply says anything that the question did not.",
        "docs/scoring-report.md",
    ),
    Description(
        "time_sensitive_question",
        "text",
        "Whether the question's answer stays the same over time.",
        "Vu et al. 2023, FreshLLMs",
    ),
    Description("question_length", "text", "How short the question is.", "docs/scoring-report.md"),
    Description(
        "courtesy",
        "courtesy",
        "Whether a short courtesy answers a greeting, thanks or a goodbye; nothing else counts then.",
        "docs/scoring-report.md",
    ),
    Description(
        "self_assessment",
        "stated",
        "The model's own probability that it is right.",
        "Tian et al. 2023, Just ask for calibration",
    ),
    Description(
        "full_certainty",
        "stated",
        "Whether the model goes all the way in rating itself (0 at 0.85, 1 at 0.95).",
        "docs/scoring-report.md",
    ),
    Description(
        "self_doubt",
        "stated",
        "Whether the model's own rating is below 0.7, and how far.",
        "docs/scoring-report.md",
    ),
    Description(
        "forged_marker",
        "stated",
        "A confidence marker that may not be the model's own was ignored.",
        "docs/scoring-report.md",
    ),
    Description(
        "sequence_probability", "logprobs", "Probability of the answer as a whole.", "Malinin and Gales 2021"
    ),
    Description(
        "reply_probability",
        "logprobs",
        "How probable the words of the reply are, the more of them the less.",
        "Malinin and Gales 2021; Fomicheva et al. 2020",
    ),
    Description(
        "answer_probability",
        "logprobs",
        "Probability of the weakest word of the answer proper.",
        "Kadavath et al. 2022",
    ),
    Description(
        "sample_agreement",
        "samples",
        "Overlap of the reply's core with alternative answers.",
        "Fomicheva et al. 2020",
    ),
    Description(
        "sample_clusters",
        "samples",
        "Share of alternative answers that fall into one group with the reply.",
        "Kuhn et al. 2023, Semantic uncertainty",
    ),
    Description(
        "option_vote",
        "samples",
        "Share of alternative answers with the same option.",
        "Wang et al. 2023, Self-consistency",
    ),
    Description(
        "grounding_coverage",
        "passages",
        "Share of the reply's new words that stand in the passages.",
        "Honovich et al. 2021, Q2",
    ),
    Description(
        "grounding_pairs",
        "passages",
        "Share of the reply's neighbouring words that neighbour in the passages.",
        "Laban et al. 2022, SummaC",
    ),
    Description(
        "grounding_weakest_sentence",
        "passages",
        "Share of known words in the least supported sentence.",
        "Laban et al. 2022, SummaC",
    ),
    Description(
        "grounding_numbers",
        "passages",
        "Whether every number stands in the passages.",
        "Nan et al. 2021, entity-level consistency",
    ),
    Description(
        "relevance",
        "passages",
        "Share of what was asked about that the passages and the reply cover.",
        "docs/scoring-report.md",
    ),
)
BY_NAME = {description.name: description for description in DESCRIPTIONS}


def missing(name: str) -> str:
    """The statement of a signal whose input is not there."""
    return "" if name == "forged_marker" else _MISSING[BY_NAME[name].family]
