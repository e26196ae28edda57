"""Both languages say everything; nothing on a page is said past them."""

import ast
import string
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from hub_api import console
from hub_api.console.page import PAGES
from hub_api.console.words import LANGUAGES, Words, texts, words_of
from hub_api.roles import ROLES

FOLDER: Final = Path(console.__file__).parent
SAYING: Final = {"h", "button", "ask", "empty", "panel", "title", "html", "Column", "Field", "notify", "label", "say"}
KEYED: Final = {"Column": 0, "Field": 1}


def sources() -> Iterator[tuple[Path, ast.AST]]:
    for path in FOLDER.rglob("*.py"):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def test_both_languages_have_the_same_keys_and_places() -> None:
    chinese, english = texts("zh"), texts("en")
    assert set(chinese) == set(english)
    for key, text in english.items():
        assert _places(text) == _places(chinese[key]), key
        assert text.strip(), key
        assert chinese[key].strip(), key


def test_each_text_is_said_in_its_own_language() -> None:
    same_in_both = {"SKU", "SPU", "English", "中文", "{kind} {id}", "{system} · {stream}", "{flow} · {key}"}
    for key, text in texts("en").items():
        if text not in same_in_both:
            assert not any("\u4e00" <= letter <= "\u9fff" for letter in text), key
            assert text != texts("zh")[key], key


def test_every_text_that_is_asked_for_is_there() -> None:
    known = texts("en")
    asked = 0
    for path, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _key_of(node) is not None:
                asked += 1
                assert _key_of(node) in known, f"{path.name}:{node.lineno} asks for {_key_of(node)!r}"
    assert asked > 200


def test_no_page_says_a_word_past_the_texts() -> None:
    for path, tree in sources():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or _name(node) not in SAYING - set(KEYED):
                continue
            said = {"h": node.args[1:], "say": node.args[:1]}.get(_name(node), node.args)
            for argument in said:
                for literal in _literals(argument):
                    assert not _is_word(literal), f"{path.name}:{node.lineno} says {literal!r}"


def test_every_page_has_a_title_and_every_role_a_name() -> None:
    for page in PAGES.values():
        assert page.title in texts("en"), page.path
    for role in ROLES:
        assert f"role.{role}" in texts("en")


def test_text_files_are_plain_tables() -> None:
    for language in LANGUAGES:
        table = tomllib.loads((FOLDER / "text" / f"{language}.toml").read_text(encoding="utf-8"))
        assert table["shell"]["name"]


class TestWords:
    moment = datetime(2020, 2, 29, 17, 0, 5, 123_000, tzinfo=UTC)

    def test_times_are_in_the_viewers_zone(self) -> None:
        assert Words("en", "Asia/Shanghai").time(self.moment) == "2020-03-01 01:00:05"
        assert Words("en", "UTC").full_time(self.moment) == "2020-02-29 17:00:05.123 UTC"
        assert len(Words("en", "UTC").time(datetime.now(UTC))) == len("11-22 17:31:05")

    @pytest.mark.parametrize(
        ("seconds", "english", "chinese"),
        [(0.0123, "12 ms", "12 毫秒"), (5.25, "5.2 s", "5.2 秒"), (75, "1 min", "1 分钟"), (200_000, "2 d", "2 天")],
    )
    def test_lengths_of_time_are_in_their_largest_unit(self, seconds: float, english: str, chinese: str) -> None:
        assert Words("en").span(seconds) == english
        assert Words("zh").span(seconds) == chinese
        assert Words("en").ago(datetime.now(UTC) - timedelta(hours=3, seconds=5)) == "3 h"

    def test_numbers_and_money_are_grouped(self) -> None:
        words = Words()
        assert words.number(1_234_567) == "1,234,567"
        assert words.money(332_590, "CNY") == "¥3,325.90"
        assert words.money(-5, "SEK") == "SEK -0.05"

    def test_a_word_without_a_text_is_shown_as_it_is(self) -> None:
        assert Words("zh").name("flow", "tomorrow.flow") == "tomorrow.flow"

    def test_a_browser_is_read_by_its_cookies_then_by_what_it_accepts(self) -> None:
        assert words_of({}, "en-GB,en;q=0.9").language == "en"
        assert words_of({}, "fr").language == "zh"
        assert words_of({"yipan_language": "en", "yipan_zone": "Asia%2FTokyo"}, "zh") == Words("en", "Asia/Tokyo")
        assert words_of({"yipan_language": "../en", "yipan_zone": "../../etc/passwd"}, "") == Words("zh", "UTC")


def _places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def _name(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


def _key_of(node: ast.Call) -> str | None:
    """The key of a text that a call asks for by a literal."""
    at = 0 if _name(node) == "words" else KEYED.get(_name(node))
    if at is None or len(node.args) <= at:
        return None
    argument = node.args[at]
    return argument.value if isinstance(argument, ast.Constant) and isinstance(argument.value, str) else None


def _literals(node: ast.expr) -> Iterator[str]:
    """The literal texts that a person would read in this argument, not those inside other calls."""
    match node:
        case ast.Constant(value=str() as text):
            yield text
        case ast.List() | ast.Tuple():
            for each in node.elts:
                yield from _literals(each)
        case ast.IfExp():
            yield from _literals(node.body)
            yield from _literals(node.orelse)
        case ast.JoinedStr():
            for part in node.values:
                yield from _literals(part)


def _is_word(text: str) -> bool:
    return any(letter.isalpha() for letter in text)
