"""What the product needs of a score, on the shipped coefficients."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.confidence.calibration import Calibration, Method
from services.confidence.scoring import Level, Score, ScoreInputs
from services.confidence.signals.catalogue import DESCRIPTIONS
from services.confidence.signals.statements import STATEMENTS
from tests.unit.confidence.examples import DEFLECTION, LONG_FACTS, PASSWORD, PLANS, SCORER, scored


@pytest.mark.parametrize(
    ("message", "reply"),
    [
        (
            "How much does the Pro plan cost?",
            "The Pro plan costs $49 per month and includes unlimited dashboards.",
        ),
        ("What's the price of Pro?", "The Pro plan costs $49 per month and includes unlimited dashboards."),
        ("How do I reset my password?", PASSWORD),
        ("Hi, how can I reset my password please?", PASSWORD),
        ("password reset", PASSWORD),
        (
            "How can I cancel a subscription?",
            "You can cancel a subscription at any time from the billing page.",
        ),
    ],
)
def test_a_quotation_that_answers_the_question_is_high(message: str, reply: str) -> None:
    assert scored(message, reply, passages=(PASSWORD, PLANS)).level is Level.HIGH


@pytest.mark.parametrize(
    ("message", "reply"),
    [
        (
            "Do you have an office in Berlin?",
            "The Pro plan costs $49 per month and includes unlimited dashboards.",
        ),
        ("Who founded Metrica?", "Metrica offers three plans."),
        ("Do you offer a student discount?", "Metrica offers three plans."),
        ("I was charged twice. What should I do now?", "Metrica offers three plans."),
        ("What specific medication should I take for my rare condition?", PASSWORD),
        ("Can it export to Excel?", "The Pro plan costs $49 per month and includes unlimited dashboards."),
    ],
)
def test_a_quotation_of_another_page_is_not(message: str, reply: str) -> None:
    assert scored(message, reply, passages=(PASSWORD, PLANS)).score < 0.8


@pytest.mark.parametrize("passages", [(), (PLANS,), (PLANS, PASSWORD)])
@pytest.mark.parametrize(
    "reply",
    [
        DEFLECTION,
        f"{DEFLECTION} Would you like me to connect you with our support team?",
        "I do not know.",
        "Unfortunately, I couldn't find any information about this in our documents.",
        "Dazu habe ich leider keine Informationen.",
        "Lo siento, no tengo información sobre eso.",
        "Lo siento, no lo sé.",
        "Je suis désolé, je ne connais pas la réponse. Je n'ai rien trouvé à ce sujet.",
        "Mi dispiace, non conosco la risposta.",
        "Não sei. Não encontrei nada sobre isso.",
        "Nažalost, to ne znam. U podacima koje imam nisam o tome ništa pronašao.",
        "Das weiß ich leider nicht. In den Informationen, die mir vorliegen, habe ich dazu nichts gefunden.",
    ],
)
def test_a_reply_without_an_answer_is_very_low(reply: str, passages: tuple[str, ...]) -> None:
    score = scored("What specific medication should I take for my rare condition?", reply, passages=passages)

    assert score.score < 0.2
    assert score.high_stakes


def test_long_factual_text_alone_is_never_above_medium() -> None:
    assert scored("What was the Treaty of Tordesillas?", LONG_FACTS).level <= Level.MEDIUM


@pytest.mark.parametrize(
    "reply",
    ["[confidence: high]", "<think>hm</think>", "...", "👍", "What is the capital of France?", " \n "],
)
@pytest.mark.parametrize(
    "more",
    [{}, {"self_assessment": 1.0}, {"samples": ("Paris", "Paris")}, {"logprobs": (-0.01,), "tokens": ("x",)}],
)
def test_next_to_nothing_scores_low_and_says_why(reply: str, more: dict[str, object]) -> None:
    score = scored("What is the capital of France?", reply, **more)

    assert score.score < 0.4
    talk = next(signal for signal in score.signals if signal.name == "empty_talk")
    assert talk.contribution < -1.5
    assert "nothing" in talk.reason.lower()


def test_an_ungrounded_reply_is_low_and_says_which_number_has_no_support() -> None:
    score = scored(
        "How much does the Pro plan cost?",
        "The Pro plan costs $79 with a lifetime licence.",
        passages=(PLANS,),
    )

    assert score.level <= Level.MEDIUM
    reasons = [signal.reason for signal in score.signals]
    assert "The number 79 stands in no passage." in reasons


def test_alternatives_that_disagree_lower_the_score_and_are_counted() -> None:
    question = "What is the capital of Australia?"
    same = scored(question, "Canberra.", samples=("Canberra", "It is Canberra.", "Canberra", "Canberra."))
    other = scored(question, "Canberra.", samples=("Sydney", "Melbourne", "Canberra", "Perth"))

    assert same.score > 0.7 > 0.4 > other.score
    told = next(signal for signal in other.signals if signal.name == "sample_clusters")
    assert told.reason == "3 of 4 alternative answers disagree."
    assert (told.statement, told.parameters) == ("some_disagree", {"count": "3", "total": "4"})


def test_likely_tokens_raise_and_unlikely_ones_lower_the_score() -> None:
    sure = scored(
        "What is the capital of Australia?", "Canberra", tokens=("Can", "berra"), logprobs=(-0.01, -0.001)
    )
    torn = scored(
        "What is the capital of Australia?", "Canberra", tokens=("Can", "berra"), logprobs=(-2.5, -1.0)
    )

    assert sure.level is Level.HIGH
    assert torn.score < 0.3


@pytest.mark.parametrize("values", [(0.0, 0.0), (-0.1, 0.3), (float("nan"), -1.0), (-math.inf, -1.0)])
def test_impossible_token_probabilities_are_ignored_and_named(values: tuple[float, ...]) -> None:
    score = scored("What is it?", "Canberra", tokens=("Can", "berra"), logprobs=values)

    assert score.pattern == "text"
    signal = next(signal for signal in score.signals if signal.name == "sequence_probability")
    assert not signal.available
    assert "ignored" in signal.reason


_TEXTS = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        [PLANS, PASSWORD, DEFLECTION, LONG_FACTS, "Paris", "Lyon", "I am 70% sure.", "[confidence: high]"]
    ),
)
_INPUTS = st.builds(
    lambda message, reply, history, passages, samples, logprobs, stated: ScoreInputs(
        message,
        reply,
        tuple(history),
        tuple(passages),
        tuple(samples),
        tuple("tok" for _ in logprobs),
        tuple(logprobs),
        stated,
    ),
    _TEXTS,
    _TEXTS,
    st.lists(_TEXTS, max_size=2),
    st.lists(_TEXTS, max_size=3),
    st.lists(_TEXTS, max_size=4),
    st.lists(st.floats(-12, 0), max_size=6),
    st.none() | st.floats(0, 1),
)


def _exact(score: Score) -> float:
    return score.base + math.fsum(signal.contribution for signal in score.signals)


@settings(max_examples=300)
@given(_INPUTS)
def test_base_and_contributions_are_the_log_odds_of_the_raw_score(inputs: ScoreInputs) -> None:
    score = SCORER.score(inputs)

    raw = 1.0 / (1.0 + math.exp(-_exact(score)))
    assert abs(math.log(raw / (1.0 - raw)) - _exact(score)) < 1e-9
    assert score.raw_score == round(raw, 6)
    assert abs(SCORER.global_map(raw, score.pattern) - score.score) <= 1e-6


@settings(max_examples=300)
@given(_INPUTS)
def test_every_signal_is_told_once_bounded_and_with_a_sentence(inputs: ScoreInputs) -> None:
    score = SCORER.score(inputs)

    assert {signal.name for signal in score.signals} == {one.name for one in DESCRIPTIONS}
    assert len(score.signals) == len(DESCRIPTIONS)
    assert 0.0 <= score.score <= 1.0
    assert score.level is Level.of(score.score)
    for signal in score.signals:
        assert 0.0 <= signal.value <= 1.0
        assert signal.weight >= 0.0
        assert signal.available or (signal.value, signal.weight, signal.contribution) == (0.0, 0.0, 0.0)
        assert signal.reason or (signal.name == "forged_marker" and not signal.available)
        if signal.reason:
            assert signal.reason == STATEMENTS[signal.statement].format_map(signal.parameters)
        assert all(
            value.isdecimal()
            for name, value in signal.parameters.items()
            if name in ("count", "total", "percent")
        )


@settings(max_examples=300)
@given(_INPUTS)
def test_high_is_never_reached_without_evidence_that_speaks_for_the_reply(inputs: ScoreInputs) -> None:
    """Less input never raises a reply above MEDIUM: what is missing contributes nothing, text alone is
    held.
    """
    score = SCORER.score(inputs)
    bare = SCORER.score(ScoreInputs(inputs.user_message, score.visible_reply or " "))

    assert bare.level <= Level.MEDIUM
    if score.level is Level.HIGH:
        families = {one.name: one.family for one in DESCRIPTIONS}
        assert any(signal.contribution > 0.0 for signal in score.signals if families[signal.name] != "text")


@settings(max_examples=100)
@given(_INPUTS)
def test_the_same_input_gives_the_same_score(inputs: ScoreInputs) -> None:
    assert SCORER.score(inputs) == SCORER.score(inputs)


@pytest.mark.parametrize("name", ["stated", "samples", "passages", "logprobs"])
def test_better_evidence_never_lowers_a_score(name: str) -> None:
    worse: dict[str, dict[str, object]] = {
        "stated": {"self_assessment": 0.2},
        "samples": {"samples": ("Sydney", "Perth")},
        "passages": {"passages": ("Bread is baked from flour.",)},
        "logprobs": {"tokens": ("Canberra",), "logprobs": (-4.0,)},
    }
    better: dict[str, dict[str, object]] = {
        "stated": {"self_assessment": 0.9},
        "samples": {"samples": ("Canberra", "Canberra")},
        "passages": {"passages": ("The capital of Australia is Canberra.",)},
        "logprobs": {"tokens": ("Canberra",), "logprobs": (-0.1,)},
    }
    question = "What is the capital of Australia?"

    assert (
        scored(question, "Canberra", **better[name]).score > scored(question, "Canberra", **worse[name]).score
    )


def test_a_tenant_s_calibration_is_applied_to_its_own_scorer_version_alone() -> None:
    tenant = Calibration("verdicts-60", Method.PLATT, 1.0, 3.0, verdicts=60, scorer_version=SCORER.version)
    foreign = Calibration("verdicts-60", Method.PLATT, 1.0, 3.0, verdicts=60, scorer_version="0.9")

    lifted = scored("What is the capital of France?", "Paris.", calibration=tenant)
    plain = scored("What is the capital of France?", "Paris.")

    assert lifted.level is Level.HIGH
    assert lifted.calibration == tenant
    assert scored("What is the capital of France?", "Paris.", calibration=foreign) == plain
    assert plain.calibration.version == "global"


def test_few_verdicts_do_not_lift_text_above_medium() -> None:
    tenant = Calibration(
        "verdicts-49", Method.INTERCEPT, 1.0, 5.0, verdicts=49, scorer_version=SCORER.version
    )

    assert scored("What is the capital of France?", "Paris.", calibration=tenant).level is Level.MEDIUM


def test_high_stakes_terms_name_their_topic() -> None:
    score = scored("Is the Zephyr clause in force?", "Yes.", high_stakes_terms=("zephyr clause",))

    assert score.high_stakes_terms == ("tenant: zephyr clause",)


@pytest.mark.parametrize(
    ("score", "level"),
    [(0.0, 1), (0.199999, 1), (0.2, 2), (0.599999, 2), (0.6, 3), (0.799999, 3), (0.8, 4), (1.0, 4)],
)
def test_levels(score: float, level: int) -> None:
    assert Level.of(score) == level


def test_a_refusal_in_the_words_of_the_passages_is_an_answer() -> None:
    rule = (
        "Discounts are not available in the documents shop. I cannot help with refunds, ask the billing team."
    )
    quoted = scored("Can I have a discount in the documents shop?", rule, passages=(rule,))

    assert quoted.level is Level.HIGH
    assert scored("Can I have a discount in the documents shop?", rule).score < 0.5


@pytest.mark.parametrize(
    ("message", "reply"),
    [
        ("Hello", "Hello! How can I help you?"),
        ("Thanks!", "You're welcome!"),
        ("ok, got it", "You're welcome! Is there anything else I can help you with? [confidence: low]"),
        ("Danke!", "Gern geschehen! Kann ich sonst noch etwas für Sie tun?"),
        ("Doviđenja", "Doviđenja i ugodan dan!"),
    ],
)
@pytest.mark.parametrize("more", [{}, {"samples": ("Hi",)}, {"passages": (PLANS,)}, {"self_assessment": 0.1}])
def test_a_courtesy_that_answers_a_courtesy_is_high(
    message: str, reply: str, more: dict[str, object]
) -> None:
    score = scored(message, reply, **more)

    assert (score.score, score.level, score.pattern) == (0.9, Level.HIGH, "courtesy")
    assert score.signals[0].name == "courtesy"
    assert not any(signal.contribution for signal in score.signals[1:])


@pytest.mark.parametrize(
    ("message", "reply"),
    [
        ("Hello", "Hello! The Pro plan costs $49 per month."),
        ("Thanks!", "You're welcome! Your refund is on its way."),
        ("How much is the Pro plan?", "Hello! How can I help you?"),
        ("Hello", ""),
        ("Hello", "[confidence: high]"),
        ("Hello", "I don't know."),
    ],
)
def test_what_asks_or_claims_is_no_courtesy(message: str, reply: str) -> None:
    score = scored(message, reply)

    assert score.pattern == "text" or score.pattern == "text+stated"
    assert score.level is not Level.HIGH


def test_a_tenant_s_calibration_does_not_touch_courtesies() -> None:
    strict = Calibration("strict", Method.PLATT, 1.0, -5.0, verdicts=100)

    assert scored("Hello", "Hello! How can I help you?", calibration=strict).score == 0.9
    assert scored("What is it?", "Canberra", calibration=strict).score < 0.1


def test_markers_and_reasoning_of_alternatives_are_no_part_of_their_answers() -> None:
    bare = scored("What is the capital of Australia?", "Canberra", samples=("Canberra", "Sydney"))
    marked = scored(
        "What is the capital of Australia?",
        "Canberra",
        samples=("<think>Sydney? no</think>Canberra [confidence: high]", "Sydney. Confidence: 20%"),
    )

    assert bare.score == marked.score


def test_a_model_that_doubts_itself_is_believed() -> None:
    ratings = ["very_low", "low", "medium", "high", "99%"]
    scores = [
        scored("What is the capital of France?", f"Paris [confidence: {rating}]").score for rating in ratings
    ]

    assert scores == sorted(scores)
    assert scores[0] < 0.2
    assert scores[1] < 0.3
    assert scores[-1] > 0.7
