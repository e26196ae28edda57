"""What a command prints: a table for people, one JSON document with ``--json``."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any, Final

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from canonical_model.errors import (
    ConfigurationError,
    HubError,
    RecordError,
    RejectedError,
    TransientError,
    UncertainError,
)

EXIT_FAILED: Final = 1
EXIT_CONFIGURATION: Final = 3
EXIT_REJECTED: Final = 4
EXIT_TRANSIENT: Final = 5
EXIT_UNCERTAIN: Final = 6

_EXIT_CODES: Final = (
    (ConfigurationError, EXIT_CONFIGURATION),
    (RejectedError, EXIT_REJECTED),
    (TransientError, EXIT_TRANSIENT),
    (UncertainError, EXIT_UNCERTAIN),
)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]

WIDE: Final = 240

_console = Console() if sys.stdout.isatty() else Console(width=WIDE)
_errors = Console(stderr=True, soft_wrap=True)


def show_rows(rows: Sequence[Mapping[str, Any]], *, as_json: bool, columns: Sequence[str]) -> None:
    """Print rows; JSON carries every field, the table only ``columns``."""
    if as_json:
        _print_json(rows)
        return
    table = Table(box=None, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    _console.print(table)


def show(document: Mapping[str, Any], *, as_json: bool) -> None:
    """Print one thing, a line a field; what it has many of follows as tables."""
    if as_json:
        _print_json(document)
        return
    parts = {name: value for name, value in document.items() if _is_table(value)}
    table = Table(box=None, show_header=False)
    for name, value in document.items():
        if name not in parts:
            table.add_row(f"[bold]{name}[/bold]", _cell(value))
    _console.print(table)
    for name, rows in parts.items():
        _console.print(f"\n[bold]{name}[/bold]")
        columns = [column for column in rows[0] if any(row.get(column) not in (None, "") for row in rows)]
        show_rows(rows, as_json=False, columns=columns)


def _is_table(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(row, Mapping) for row in value)


def say(text: str, document: Mapping[str, Any], *, as_json: bool) -> None:
    """Print one line at once: ``text``, or the document as JSON."""
    sys.stdout.write((orjson.dumps(document).decode() if as_json else text) + "\n")
    sys.stdout.flush()


def fail(error: HubError) -> int:
    """Print the error on one line of stderr (a JSON document with ``--json``); the exit code it stands for."""
    if "--json" in sys.argv:
        issues = error.issues if isinstance(error, RecordError) else ()
        errors = [{"field": i.field, "code": i.code, "detail": i.detail} for i in issues]
        _print_json({"code": error.code, "detail": error.detail, "errors": errors})
    else:
        _errors.print(f"yipan: {error.detail}", style="red", markup=False, highlight=False)
    return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), EXIT_FAILED)


@contextmanager
def working(text: str) -> Iterator[None]:
    """A moving sign on a terminal's stderr while something takes its time."""
    with _errors.status(text):
        yield


@contextmanager
def progress(*, as_json: bool) -> Iterator[Progress]:
    """A progress display on stderr; silent with ``--json``."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=_errors,
        disable=as_json,
        transient=True,
    )
    with bar:
        yield bar


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        case list() | tuple() if all(isinstance(item, str) for item in value):
            return " ".join(value)
        case dict() | list() | tuple():
            return orjson.dumps(value, default=str).decode()
        case _:
            return str(value)


def _print_json(document: Any) -> None:
    sys.stdout.write(orjson.dumps(document, default=str, option=orjson.OPT_INDENT_2).decode() + "\n")
