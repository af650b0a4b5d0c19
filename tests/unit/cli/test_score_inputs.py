"""Replies from chat logs: many names for the same fields, bad lines named and passed over."""

from __future__ import annotations

import io
import json

import pytest

from services.cli.score_inputs import count_lines, read_lines


def lines(*records: object) -> io.StringIO:
    return io.StringIO("\n".join(r if isinstance(r, str) else json.dumps(r) for r in records))


@pytest.mark.parametrize(
    ("message", "reply"), [("message", "reply"), ("question", "response"), ("prompt", "completion")]
)
def test_the_usual_names_are_understood(message: str, reply: str) -> None:
    [line] = read_lines(lines({message: "When?", reply: "At nine.", "id": "a"}), as_csv=False)
    assert line.request is not None and line.identity == "a"
    assert (line.request.user_message, line.request.reply) == ("When?", "At nine.")


def test_everything_a_scorer_can_use_is_read() -> None:
    record = {
        "question": "When?",
        "response": "At nine.",
        "context": ["We open at nine."],
        "samples": ["Nine.", "At 9."],
        "token_logprobs": [{"token": "At", "logprob": -0.1}, {"token": "nine", "logprob": -0.2}],
        "verbalized_confidence": 0.8,
        "label_correct": 1,
    }
    [line] = read_lines(lines(record), as_csv=False)
    assert line.request is not None and line.correct is True
    assert [p.text for p in line.request.passages] == ["We open at nine."]
    assert len(line.request.samples) == 2 and len(line.request.token_logprobs) == 2
    assert line.request.self_assessment == 0.8


def test_a_bad_line_says_why_and_the_rest_goes_on() -> None:
    found = list(
        read_lines(
            lines("{", [1], {"message": "a"}, {"message": "a", "reply": 5}, {"message": "a", "reply": "b"}),
            as_csv=False,
        )
    )
    assert [line.number for line in found] == [1, 2, 3, 4, 5]
    assert [bool(line.fault) for line in found] == [True, True, True, True, False]
    assert "JSON" in found[0].fault and "reply" in found[2].fault


def test_csv_holds_lists_as_json() -> None:
    text = 'question,response,passages,correct\nWhen?,At nine.,"[""We open at nine.""]",false\n'
    [line] = read_lines(io.StringIO(text), as_csv=True)
    assert line.request is not None and line.correct is False
    assert [p.text for p in line.request.passages] == ["We open at nine."]


def test_counting_does_not_consume() -> None:
    file = lines({"message": "a", "reply": "b"}, {"message": "a", "reply": "b"})
    assert count_lines(file) == 2
    assert len(list(read_lines(file, as_csv=False))) == 2
