"""`metachat score`: one reply with every signal, or a whole chat log."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import click
from metachat.confidence.v1 import confidence_pb2, confidence_pb2_grpc
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from services.cli.connection import open_stub, plain_errors
from services.cli.output import print_json, print_table, shorten
from services.cli.own_confidence import own_confidence
from services.cli.score_inputs import Line, count_lines, read_lines

BATCH = 64
FORMS = click.Choice(["table", "json", "csv"])
Response = confidence_pb2.ScoreResponse


@dataclass(frozen=True)
class Scored:
    """One line with its score, or with its fault."""

    line: Line
    response: Response | None
    fault: str


@contextmanager
def _stub() -> Iterator[tuple[confidence_pb2_grpc.ConfidenceServiceStub, str]]:
    """A running confidence service where CONFIDENCE_ADDRESS names one, else one of our own."""
    address = os.environ.get("CONFIDENCE_ADDRESS")
    with nullcontext((address, None)) if address else own_confidence() as (target, token):
        yield open_stub(confidence_pb2_grpc.ConfidenceServiceStub, target, token), target


@click.command(name="score")
@click.argument("file", required=False, type=click.Path(allow_dash=True, dir_okay=False))
@click.option("--message", help="the customer's message")
@click.option("--reply", help="the reply to score")
@click.option("--passage", "passages", multiple=True, help="a passage that was retrieved for it; repeat it")
@click.option("--sample", "samples", multiple=True, help="another reply of the same model; repeat it")
@click.option("--high-stakes", "terms", multiple=True, help="a high-stakes word of your own; repeat it")
@click.option(
    "--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True
)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="write there (.json, .csv)")
def command(
    file: str | None,
    message: str | None,
    reply: str | None,
    passages: tuple[str, ...],
    samples: tuple[str, ...],
    terms: tuple[str, ...],
    form: str,
    output: Path | None,
) -> None:
    """Score one reply (--message, --reply), or every line of FILE (JSON lines or .csv; - is standard input).

    Lines hold message and reply (or question and response, prompt and completion …) and, where there are any,
    passages, samples, token_logprobs, self_assessment and label_correct. Without CONFIDENCE_ADDRESS a
    confidence process is started for the occasion.
    """
    if output is not None and form == "table":
        form = "csv" if output.suffix == ".csv" else "json"
    if (file is None) == (message is None and reply is None):
        raise click.UsageError("give either a FILE or --message with --reply")
    if file is None:
        if message is None or reply is None:
            raise click.UsageError("--message and --reply belong together")
        request = confidence_pb2.ScoreRequest(
            user_message=message,
            reply=reply,
            samples=samples,
            high_stakes_terms=terms,
            passages=[confidence_pb2.Passage(text=text) for text in passages],
        )
        with _stub() as (stub, address), plain_errors(address):
            response = stub.Score(request)
        print_json([response]) if form == "json" else _show(response)
        return
    with ExitStack() as stack:
        lines = stack.enter_context(_open(file))
        sink = stack.enter_context(output.open("w", newline="")) if output else sys.stdout
        scored = list(_score_file(lines, terms, as_csv=file.endswith(".csv"))) if form == "table" else None
        if scored is None:
            faults = _write(_score_file(lines, terms, as_csv=file.endswith(".csv")), sink, form)
        else:
            faults = _print_lines(scored)
    if faults:
        raise click.ClickException(f"{faults} lines could not be scored (each is named with its reason)")


@contextmanager
def _open(file: str) -> Iterator[TextIO]:
    if file == "-":
        yield sys.stdin
        return
    try:
        with Path(file).open(encoding="utf-8", newline="") as lines:
            yield lines
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise click.ClickException(f"{file} is not UTF-8 text") from error


def _score_file(lines: TextIO, terms: tuple[str, ...], *, as_csv: bool) -> Iterator[Scored]:
    total = count_lines(lines)
    progress = Progress(
        "scoring",
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with progress, _stub() as (stub, address):
        task = progress.add_task("scoring", total=total)
        rows = read_lines(lines, as_csv=as_csv)
        while batch := list(islice(rows, BATCH)):
            with plain_errors(address):
                yield from _score_batch(stub, batch, terms)
            progress.advance(task, len(batch))


def _score_batch(
    stub: confidence_pb2_grpc.ConfidenceServiceStub, batch: list[Line], terms: tuple[str, ...]
) -> Iterator[Scored]:
    requests = [line.request for line in batch if line.request is not None]
    for request in requests:
        request.high_stakes_terms.extend(terms)
    answer = stub.ScoreBatch(confidence_pb2.ScoreBatchRequest(requests=requests)) if requests else None
    items = iter(answer.items if answer else [])
    for line in batch:
        if line.request is None:
            yield Scored(line, None, line.fault)
            continue
        item = next(items)
        if item.HasField("response"):
            yield Scored(line, item.response, "")
        else:
            yield Scored(line, None, f"{item.error.field}: {item.error.message}".removeprefix(": "))


def _show(response: Response) -> None:
    level = Response.Level.Name(response.level)
    stakes = f", high stakes ({', '.join(response.high_stakes_terms)})" if response.high_stakes else ""
    click.echo(
        f"score {response.score:.3f} {level}{stakes}; scorer {response.scorer_version}, {response.pattern}\n"
    )
    print_table(
        ["SIGNAL", "VALUE", "WEIGHT", "ADDS", "WHY"],
        (
            (s.name, f"{s.value:.2f}", f"{s.weight:+.2f}", f"{s.contribution:+.2f}", s.reason)
            if s.available
            else (s.name, "-", "-", "-", s.reason)
            for s in response.signals
        ),
        empty="no signals",
    )


def _row(scored: Scored) -> dict[str, Any]:
    row: dict[str, Any] = {"id": scored.line.identity, "line": scored.line.number}
    if scored.line.correct is not None:
        row["correct"] = int(scored.line.correct)
    if scored.response is None:
        return {**row, "error": scored.fault}
    response = scored.response
    strongest = next((signal for signal in response.signals if signal.available), None)
    return {
        **row,
        "score": response.score,
        "level": Response.Level.Name(response.level),
        "high_stakes": response.high_stakes,
        "pattern": response.pattern,
        "why": strongest.reason if strongest else "",
        "scorer_version": response.scorer_version,
    }


COLUMNS = (
    "id",
    "line",
    "score",
    "level",
    "high_stakes",
    "pattern",
    "why",
    "correct",
    "error",
    "scorer_version",
)


def _write(scored: Iterable[Scored], sink: TextIO, form: str) -> int:
    """Write JSON lines or CSV as they come; the number of faults."""
    faults = 0
    table = csv.DictWriter(sink, COLUMNS, restval="") if form == "csv" else None
    if table:
        table.writeheader()
    for each in scored:
        row = _row(each)
        faults += "error" in row
        if table:
            table.writerow(row)
        else:
            sink.write(json.dumps(row, ensure_ascii=False) + "\n")
    return faults


SHOWN = 20


def _print_lines(scored: list[Scored]) -> int:
    """The least trustworthy replies, then counts by level; faults to standard error."""
    good = [each for each in scored if each.response is not None]
    faults = [each for each in scored if each.response is None]
    good.sort(key=lambda each: each.response.score if each.response else 0.0)
    if len(good) > SHOWN:
        click.echo(f"The {SHOWN} least trustworthy of {len(good)} replies (--format csv gives all):\n")
    print_table(
        ["ID", "SCORE", "LEVEL", "WHY", "REPLY"],
        (
            (
                each.line.identity,
                f"{each.response.score:.3f}",
                Response.Level.Name(each.response.level),
                _row(each)["why"],
                shorten(each.line.request.reply if each.line.request else "", 50),
            )
            for each in good[:SHOWN]
            if each.response is not None
        ),
        empty="nothing to score",
    )
    click.echo()
    _print_levels(good)
    for each in faults:
        click.echo(f"line {each.line.number}: {each.fault}", err=True)
    return len(faults)


def _print_levels(good: list[Scored]) -> None:
    by_level: dict[int, list[Scored]] = defaultdict(list)
    for each in good:
        if each.response is not None:
            by_level[each.response.level].append(each)
    labelled = any(each.line.correct is not None for each in good)

    def row(level: int, rows: list[Scored]) -> tuple[str, ...]:
        mean = sum(each.response.score for each in rows if each.response) / len(rows)
        labels = [each.line.correct for each in rows if each.line.correct is not None]
        right = f"{sum(labels) / len(labels):.3f}" if labels else "-"
        name = Response.Level.Name(Response.Level.ValueType(level))
        return (name, str(len(rows)), f"{mean:.3f}", *((right,) if labelled else ()))

    print_table(
        ["LEVEL", "REPLIES", "MEAN SCORE", *(["SHARE CORRECT"] if labelled else [])],
        (row(level, by_level[level]) for level in sorted(by_level, reverse=True)),
        empty="",
    )
