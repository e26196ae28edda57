"""A CSV file read column by column, with everything wrong in it told by file, line and field."""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from canonical_model.errors import ConfigurationError, Issue, RecordError

if TYPE_CHECKING:
    from _csv import Reader

MAX_ISSUES: Final = 20
MAX_CODE: Final = 120
MAX_LINE: Final = 100_000
MAX_UNITS: Final = 10**9
MAX_DIGITS: Final = 18
MAX_SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class Column:
    """A column by its name in the first line; ``parse`` raises ValueError, which says what is wrong and what to do.

    ``optional``: the column may be missing, and a field empty; either gives ``default``.
    """

    name: str
    parse: Callable[[str], Any]
    optional: bool = False
    default: Any = None


class Issues:
    """What is wrong with the files of one question; at MAX_ISSUES reading ends."""

    def __init__(self) -> None:
        self._found: list[Issue] = []

    def add(self, file: Path, line: int | None, field: str | None, code: str, detail: str) -> None:
        """Remember an issue. RecordError when there are enough."""
        place = ":".join(str(part) for part in (file, line, field) if part is not None)
        self._found.append(Issue(place, code, detail))
        if len(self._found) >= MAX_ISSUES:
            self.raise_any()

    def __bool__(self) -> bool:
        return bool(self._found)

    def raise_any(self) -> None:
        """RecordError with all issues, if there are any."""
        if self._found:
            raise RecordError(self._found)


def read_rows(
    file: Path, columns: Sequence[Column], issues: Issues, *, max_rows: int
) -> Iterator[tuple[int, list[Any]]]:
    """The good rows of ``file``: the number of the line where the row begins, and a value for each of ``columns``.

    UTF-8 with or without a byte order mark, commas, ``"`` around fields that hold commas, any kind of line end.
    Columns that nobody asks for are passed over, and so are empty lines. What is wrong goes to ``issues``.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            reader = csv.reader(_lines(text), strict=True)
            try:
                yield from _rows(file, reader, columns, issues, max_rows)
            except _LineTooLongError:
                detail = f"has over {MAX_LINE:,} characters; is this a CSV file? End each row with a line break"
                issues.add(file, reader.line_num + 1, None, "csv.too_long", detail)
            except csv.Error as error:
                detail = f"{error}; put fields with commas or quotes into quotes, and double the quotes in them"
                issues.add(file, reader.line_num, None, "csv.broken", detail)
    except UnicodeDecodeError:
        issues.add(file, _undecodable(file), None, "csv.encoding", "this is not UTF-8; save the file as CSV UTF-8")
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}", code="file.unreadable") from error


class _LineTooLongError(Exception):
    """A line without an end, or nearly so."""


def _lines(text: TextIO) -> Iterator[str]:
    while line := text.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            raise _LineTooLongError
        yield line


def _rows(
    file: Path, reader: "Reader", columns: Sequence[Column], issues: Issues, max_rows: int
) -> Iterator[tuple[int, list[Any]]]:
    width, positions = _heading(file, reader, columns, issues)
    if not positions:
        return
    fields = [_Field(column, position) for column, position in zip(columns, positions, strict=True)]
    line, rows = reader.line_num + 1, 0
    for row in reader:
        began, line = line, reader.line_num + 1
        if not row:
            continue
        rows += 1
        if rows > max_rows:
            issues.add(file, began, None, "csv.too_long", f"at most {max_rows:,} rows are read; split the file")
            return
        if len(row) != width:
            detail = f"has {len(row)} fields, the first line names {width}; put fields that hold commas into quotes"
            issues.add(file, began, None, "csv.width", detail)
            continue
        row.append("")
        values = _values(file, began, row, fields, issues)
        if values is not None:
            yield began, values


def _heading(file: Path, reader: "Reader", columns: Sequence[Column], issues: Issues) -> tuple[int, list[int]]:
    """How many columns the file has, and where each of ours is; -1 where an optional one is not."""
    names = [name.strip() for name in next(reader, [])]
    wanted = ",".join(column.name for column in columns if not column.optional)
    if not any(names):
        issues.add(file, 1, None, "csv.empty", f"there is nothing here; begin with a line {wanted}")
        return 0, []
    missing = [column.name for column in columns if not column.optional and column.name not in names]
    for name in missing:
        found = ", ".join(names[:MAX_ISSUES])
        issues.add(file, 1, name, "csv.column", f"this column is missing; the first line names {found}"[:MAX_SHOWN])
    twice = [column.name for column in columns if names.count(column.name) > 1]
    for name in twice:
        issues.add(file, 1, name, "csv.column", "this column is there twice; remove one")
    if missing or twice:
        return 0, []
    return len(names), [names.index(column.name) if column.name in names else -1 for column in columns]


class _Field:
    """A column at its position. Neighbouring rows often say the same, so the last value is remembered."""

    __slots__ = ("_said", "_value", "column", "position")

    def __init__(self, column: Column, position: int) -> None:
        self.column = column
        self.position = position
        self._said: str | None = None
        self._value: Any = None

    def read(self, row: Sequence[str]) -> Any:
        """The value in this row. ValueError says what is wrong with it."""
        text = row[self.position]
        if text != self._said:
            empty = self.column.optional and not text.strip()
            self._value = self.column.default if empty else self.column.parse(text)
            self._said = text
        return self._value


def _values(file: Path, line: int, row: Sequence[str], fields: Sequence[_Field], issues: Issues) -> list[Any] | None:
    values = []
    for field in fields:
        try:
            values.append(field.read(row))
        except ValueError as error:
            shown = row[field.position].strip()[:MAX_SHOWN]
            issues.add(file, line, field.column.name, "csv.value", f"{shown!r} {error}")
    return values if len(values) == len(fields) else None


def _undecodable(file: Path) -> int | None:
    """The first line that is not UTF-8; None when the file cannot be read a second time."""
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return None


def code(text: str) -> str:
    """A code as it stands, spaces around it removed: ``0012`` stays text."""
    stripped = text.strip()
    if not 0 < len(stripped) <= MAX_CODE or not stripped.isprintable():
        raise ValueError(f"is no code; write 1 to {MAX_CODE} printable characters")
    return stripped


def units(text: str) -> int:
    """A whole number from 0."""
    stripped = text.strip()
    if not (stripped.isascii() and stripped.isdigit()) or len(stripped) > MAX_DIGITS:
        raise ValueError(f"is no whole number from 0 to {MAX_UNITS:,}")
    if (number := int(stripped)) > MAX_UNITS:
        raise ValueError(f"is over {MAX_UNITS:,}")
    return number


def units_above_0(text: str) -> int:
    """A whole number from 1."""
    if not (number := units(text)):
        raise ValueError("is nothing; write at least 1, or remove the row")
    return number


def number_between(least: float, most: float) -> Callable[[str], float]:
    """A parser of numbers from ``least`` to ``most``."""

    def parse(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            raise ValueError(f"is no number; write one from {least:g} to {most:g}") from None
        if not least <= number <= most:
            raise ValueError(f"is not between {least:g} and {most:g}")
        return number

    return parse


def day(text: str) -> date:
    """The day of an ISO 8601 date or time, in the offset that it is written in."""
    try:
        return datetime.fromisoformat(text.strip()).date()
    except ValueError:
        raise ValueError("is no time; write it as 2026-03-01T09:30:00+08:00 or 2026-03-01") from None
