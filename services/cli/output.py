"""What commands print: tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC

import click
from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPED_WIDTH = 160


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str) -> None:
    """Print rows as a table, or the sentence `empty` where there is none.

    Cells are text, never markup: what customers write must not style a terminal.
    """
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    count = 0
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
        count += 1
    if count:
        # A file or a pipe has no width: rich would fold at 80 columns.
        console = Console()
        Console(width=None if console.is_terminal else max(console.width, PIPED_WIDTH)).print(table)
    else:
        click.echo(empty)


def printable(text: str) -> str:
    """The text without control characters that would move a terminal's cursor or change its colours."""
    return "".join(
        char if char in "\n\t" or char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text
    )


def print_json(messages: Iterable[Message]) -> None:
    """Print messages as one JSON array."""
    rows = [
        json_format.MessageToDict(message, always_print_fields_with_no_presence=True) for message in messages
    ]
    click.echo(json.dumps(rows, indent=2, ensure_ascii=False))


def local_time(stamp: Timestamp) -> str:
    """A time in the reader's zone, to the second; empty where it is not set."""
    if not stamp.seconds:
        return ""
    return stamp.ToDatetime(tzinfo=UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def shorten(text: str, width: int = 60) -> str:
    """One line of at most `width` characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"
