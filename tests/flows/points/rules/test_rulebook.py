"""A rulebook is read whole, or refused with everything that is wrong in it and where."""

import json
import tomllib
from copy import deepcopy
from datetime import date, datetime, time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from canonical_model.errors import Issue, NotFoundError, RecordError
from flows.points.rulebook import DEFAULT, MAX_EXCHANGES, MAX_PROGRAMMES, PointsRulebook
from flows.rule_document import MAX_BYTES, MAX_LINE
from tests.flows.points.rules.books import EXAMPLE, GROWTH, HEAD

STARS = "programmes.yunshang/stars"
EARN = '[[programmes."yunshang/stars".earn]]\nname = "base"\n'
RATE = "points = 1\nper_minor = 100\n"
CAP = '[[programmes."yunshang/stars".caps]]\nper = "day"\npoints = 1\n'
EXCHANGE = '[[exchange]]\nfrom = "yunshang/stars"\nto = "miles"\ngive = 1\nget = 1\n'


def refused(text: str) -> list[tuple[str, str]]:
    with pytest.raises(RecordError) as error:
        PointsRulebook(text)
    return [(issue.field, issue.code) for issue in error.value.issues]


def issues_of(text: str) -> tuple[Issue, ...] | None:
    """What is wrong with a document; None if it is read."""
    try:
        PointsRulebook(text)
    except RecordError as error:
        return error.issues
    return None


def test_what_a_rulebook_does_not_say_has_a_default() -> None:
    programme = PointsRulebook(HEAD).programme("yunshang/stars")
    assert (programme.brand, programme.name, programme.zone.key) == ("yunshang", "yunshang/stars", "Asia/Shanghai")
    assert (programme.hold_s, programme.refund_grace_days, programme.cost_micro) == (1_800, 0, 0)
    assert (programme.growth, programme.expiry.kind, programme.earn, programme.spend) == (None, "never", (), ())


def test_a_programme_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(NotFoundError, match="linmu/leaves, yunshang/growth, yunshang/stars"):
        PointsRulebook(EXAMPLE).programme("yunshang/moons")
    with pytest.raises(NotFoundError, match="none yet"):
        DEFAULT.programme("yunshang/stars")


def test_outside_units_are_named_with_the_system_that_keeps_them() -> None:
    book = PointsRulebook(EXAMPLE)
    assert book.programmes == ["linmu/leaves", "yunshang/growth", "yunshang/stars"]
    assert book.outside == {"skymiles": "airline"}
    assert DEFAULT.programmes == []
    assert DEFAULT.outside == {}


def test_texts_are_told_apart_by_their_fingerprints() -> None:
    assert (
        PointsRulebook(HEAD).fingerprint
        == PointsRulebook(HEAD, 7).fingerprint
        != PointsRulebook(HEAD + "\n").fingerprint
    )
    assert (PointsRulebook(HEAD).version, PointsRulebook(HEAD, 7).version) == (0, 7)


def test_everything_wrong_is_said_at_once_where_it_stands() -> None:
    text = HEAD + 'hold_s = 0\ncolour = "red"\n' + EARN + "points = 1.5\nper_minor = -1\n"
    text += '[programmes."linmu/leaves"]\ntitle = ""\n' + EXCHANGE + "spread = 0.02\n"
    assert refused(text) == [
        (f"{STARS}.hold_s", "rules.invalid"),
        (f"{STARS}.earn.0.points", "rules.invalid"),
        (f"{STARS}.earn.0.per_minor", "rules.invalid"),
        (f"{STARS}.colour", "rules.invalid"),
        ("programmes.linmu/leaves.title", "rules.invalid"),
        ("programmes.linmu/leaves.issuer", "rules.invalid"),
        ("exchange.0.spread", "rules.invalid"),
    ]


def test_everything_wrong_between_tables_is_said_at_once_too() -> None:
    text = HEAD + 'levels = [{ name = "a", at_least = 5 }, { name = "a", at_least = 5 }]\n'
    text += EARN + RATE + 'levels = ["gold"]\n' + EARN + RATE + 'campaign = "x"\n' + CAP + 'campaign = "y"\n'
    text += '[programmes."linmu/leaves"]\ntitle = "L"\nissuer = "l"\ngrowth = "linmu/none"\n' + EXCHANGE
    assert refused(text) == [
        (f"{STARS}.growth", "rules.growth"),
        (f"{STARS}.levels.1.at_least", "rules.levels"),
        (f"{STARS}.levels", "rules.levels"),
        (f"{STARS}.earn.0.levels", "rules.levels"),
        (f"{STARS}.caps.0.campaign", "rules.campaign"),
        (f"{STARS}.earn", "rules.overlap"),
        ("programmes.linmu/leaves.growth", "rules.growth"),
        ("exchange.0", "rules.exchange"),
    ]


@pytest.mark.parametrize(
    ("tail", "field", "word"),
    [
        (EARN, "earn.0", "nothing"),
        (EARN + RATE + "add = 5\n", "earn.0", "points and add"),
        (EARN + "points = 1\n", "earn.0", "belong together"),
        (EARN + 'multiply = "1"\n', "earn.0.multiply", "above 1"),
        (EARN + "multiply = 1.5\n", "earn.0.multiply", "in quotes"),
        (EARN + 'multiply = "1e9"\n', "earn.0.multiply", "in quotes"),
        (EARN + "multiply = true\n", "earn.0.multiply", "in quotes"),
        (EARN + RATE + 'stack = "best"\n', "earn.0", "campaign"),
        (EARN + RATE + "from = 2026-01-02\nuntil = 2026-01-02\n", "earn.0", "before it begins"),
        (EARN + RATE + "from = 2026-01-02T00:00:00\n", "earn.0.from", "date"),
        (EARN + RATE + 'from = "2026-01-02"\n', "earn.0.from", "date"),
        (EARN + RATE + "from = 0001-01-01\n", "earn.0.from", "of our time"),
        ('expiry = { kind = "months" }\n', "expiry", "how many"),
        ('expiry = { kind = "date", month = 2 }\n', "expiry", "month"),
        ("expiry = { months = 2 }\n", "expiry", "does not use months"),
        ('spend = { points_per_100_minor = 100, max_share = "1.1" }\n', "spend.0.max_share", "at most 1"),
        ("spend = { points_per_100_minor = 0 }\n", "spend.0.points_per_100_minor", "greater"),
        ('title = "\\u0000"\n', "title", "NUL"),
        ('name = "x"\n', "name", "no such key"),
    ],
)
def test_a_table_that_says_too_much_or_too_little_is_told_what_to_write(tail: str, field: str, word: str) -> None:
    head = HEAD.replace('title = "Stars"\n', "") if tail.startswith("title") else HEAD
    with pytest.raises(RecordError) as error:
        PointsRulebook(head + tail)
    (issue,) = error.value.issues
    assert issue.field == f"{STARS}.{field}"
    assert word in issue.detail


def test_growth_has_no_growth_of_its_own() -> None:
    text = (
        HEAD
        + 'growth = "yunshang/growth"\n'
        + GROWTH
        + 'growth = "yunshang/more"\n'
        + GROWTH.replace("/growth", "/more")
    )
    assert refused(text) == [(f"{STARS}.growth", "rules.growth")]


@pytest.mark.parametrize(
    ("tail", "word"),
    [
        (EXCHANGE, "provider"),
        (EXCHANGE.replace("miles", "yunshang/growth") + 'provider = "air"\n', "provider"),
        (EXCHANGE.replace("miles", "yunshang/moons"), "no programme here"),
        (EXCHANGE.replace("yunshang/stars", "hotel") + 'provider = "air"\n', "both sides"),
        (EXCHANGE.replace("miles", "yunshang/stars"), "into themselves"),
        (EXCHANGE + 'provider = "a"\nspread = "1"\n', "nothing would be left"),
        (EXCHANGE + 'provider = "a"\nmin_points = 90\nmax_points = 99\nmultiple_of = 50\n', "within these limits"),
        (EXCHANGE + 'provider = "a"\n' + EXCHANGE + 'provider = "a"\nfrom_date = 2026-01-01\n', "two rates"),
        (
            EXCHANGE
            + 'provider = "a"\n[[exchange]]\nfrom = "miles"\nto = "yunshang/stars"\n'
            + 'give = 9\nget = 1\nprovider = "b"\n',
            "another rule",
        ),
    ],
)
def test_an_exchange_joins_a_programme_with_another_or_with_what_a_provider_keeps(tail: str, word: str) -> None:
    with pytest.raises(RecordError, match=word):
        PointsRulebook(HEAD + GROWTH + tail)


@pytest.mark.parametrize(
    "text",
    [
        "programmes = 3",
        "exchange = 3",
        "[programmes]\nx = 3",
        "[exchange]",
        "exchange = [3]",
        "zone = 'Mars/Olympus'",
        "zone = 3",
        "zone = ['a']",
        "zone = ''",
        "zone = 'Asia'",
        "zone = '../../etc/passwd'",
        "colour = 'red'",
        "[programmes.stars]\ntitle = 'S'\nissuer = 'y'",
        "[programmes.'a/b/c']\ntitle = 'S'\nissuer = 'y'",
        "[programmes.'a /b']\ntitle = 'S'\nissuer = 'y'",
        "x = ",
        "x = " + "[" * 900,
        ".".join("x" * 40) + " = 1",
        "x = '" + "y" * MAX_LINE + "'",
        "# " + "x" * 900 + "\n" * MAX_BYTES,
        "x = '\ud800'",
        "".join(f"[programmes.'a/{n}']\n" for n in range(MAX_PROGRAMMES + 1)),
        "[[exchange]]\n" * (MAX_EXCHANGES + 1),
    ],
)
def test_what_is_no_rulebook_is_refused(text: str) -> None:
    assert refused(text)


VALUES = st.recursive(
    st.one_of(
        st.integers(-(10**20), 10**20),
        st.floats(),
        st.booleans(),
        st.text(max_size=8),
        st.dates(),
        st.datetimes(),
        st.times(),
        st.sampled_from(["yunshang/stars", "yunshang/growth", "skymiles", "gold", "1.5", "best", "never", "date"]),
        st.sampled_from([0, 1, 100, 10**6, 10**12]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=4,
)


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{json.dumps(key, ensure_ascii=False)} = {toml(item)}" for key, item in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ",\n".join(map(toml, value)) + "]"
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    return json.dumps(value, ensure_ascii=False).replace("Infinity", "inf").replace("NaN", "nan")


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [*([path] if path else []), *(deep for key, item in inner for deep in paths(item, (*path, key)))]


DOCUMENT = tomllib.loads(EXAMPLE)


def test_the_writer_of_these_tests_says_the_example_as_it_was() -> None:
    text = "\n".join(f"{key} = {toml(value)}" for key, value in DOCUMENT.items())
    assert tomllib.loads(text) == DOCUMENT
    assert PointsRulebook(text).exchanges == PointsRulebook(EXAMPLE).exchanges


@given(st.lists(st.tuples(st.sampled_from(paths(DOCUMENT)), VALUES), min_size=1, max_size=3))
def test_a_document_with_anything_anywhere_is_read_or_refused_with_its_issues(
    changes: list[tuple[tuple[Any, ...], Any]],
) -> None:
    document = deepcopy(DOCUMENT)
    for path, value in changes:
        table: Any = document
        try:
            for key in path[:-1]:
                table = table[key]
            table[path[-1]] = value
        except (KeyError, IndexError, TypeError):
            continue
    assert issues_of("\n".join(f"{key} = {toml(value)}" for key, value in document.items())) != ()


@given(st.text(max_size=200))
@example("﻿")
@example("\x00")
def test_any_text_is_read_or_refused_with_its_issues(text: str) -> None:
    assert issues_of(text) != ()
