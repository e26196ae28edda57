"""The example rulebook, and every figure that docs/points.md gives of it."""

from datetime import datetime
from typing import Final

import pytest

from canonical_model.common import from_minor
from flows.points.earning import EarnLine, EarnOrder, Returned, Standing, earn, take_back
from flows.points.exchanging import quote_exchange
from flows.points.expiry import expires_at
from flows.points.rulebook import PointsRulebook
from flows.points.spending import quote_spend
from tests.flows.points.rules.books import EXAMPLE, ROOT, SHANGHAI

PAGE: Final = (ROOT / "docs" / "points.md").read_text(encoding="utf-8")
BOOK: Final = PointsRulebook(EXAMPLE)
STARS: Final = BOOK.programme("yunshang/stars")
LINES: Final = (EarnLine(1, "COAT-1", 1, 59_990), EarnLine(2, "SOCK-2", 5, 9_990))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI)


@pytest.mark.parametrize(
    ("label", "happened", "standing"),
    [
        ("2026-09-30, silver", "2026-09-30 12:00", Standing("silver")),
        ("2026-09-30, gold", "2026-09-30 12:00", Standing("gold")),
        ("2026-11-11 23:59, gold", "2026-11-11 23:59", Standing("gold")),
        (
            "the same, 900 of the campaign's 1,000 earned this month",
            "2026-11-11 23:59",
            Standing("gold", {}, {"double11": 900, "": 900}),
        ),
        ("2026-11-12 00:00, gold", "2026-11-12 00:00", Standing("gold")),
    ],
)
def test_the_page_shows_what_the_order_earns(label: str, happened: str, standing: Standing) -> None:
    earned = earn(STARS, EarnOrder("Y1", "shop", at(happened), LINES), standing)
    parts: dict[str, int] = {}
    for part in (part for line in earned.lines for part in line.parts):
        parts[part.rule] = parts.get(part.rule, 0) + part.points
    shown = ", ".join(f"{rule} {points}" for rule, points in parts.items())
    assert f"| {label} | {earned.points} | {shown} |" in PAGE
    assert dict(earned.issuers).get("linmu", 0) == parts.get("new coat", 0)
    assert earned.growth == earned.points


@pytest.mark.parametrize("happened", ["2026-12-31 23:59", "2027-01-01 00:00"])
def test_the_page_shows_what_stars_pay(happened: str) -> None:
    quote = quote_spend(STARS, 9_999, None, 100_000, at(happened))
    pays, cash = (from_minor(minor, "CNY") for minor in (quote.worth_minor, quote.cash_minor))
    assert f"| {happened} | {quote.points} | {pays} | {cash} |" in PAGE


@pytest.mark.parametrize(
    ("label", "from_", "to"),
    [
        ("stars into leaves", "yunshang/stars", "linmu/leaves"),
        ("leaves into stars", "linmu/leaves", "yunshang/stars"),
    ],
)
def test_the_page_shows_what_an_exchange_gives(label: str, from_: str, to: str) -> None:
    days = ("2026-11-30 23:59", "2026-12-01 00:00")
    get = [quote_exchange(BOOK.exchange(from_, to, at(day)), 1_000).get for day in days]
    assert f"| {label} | {get[0]} | {get[1]} |" in PAGE
    assert f"| 1,000 given | {days[0]} | {days[1]} |" in PAGE


def test_points_end_when_the_page_says() -> None:
    assert expires_at(STARS, at("2026-11-15")) == at("2027-12-01")
    assert "gone\nat 2027-12-01 00:00" in PAGE
    assert expires_at(BOOK.programme("linmu/leaves"), at("2026-11-15")) == at("2028-01-01")


def test_the_whole_order_comes_back_as_it_was_earned() -> None:
    earned = earn(STARS, EarnOrder("Y1", "shop", at("2026-11-12"), LINES), Standing("gold"))
    socks = [take_back(earned.lines, {2: Returned(unit, 1)})[0].points for unit in range(5)]
    (coat,) = take_back(earned.lines, {1: Returned(0, 1)})
    assert coat.points + sum(socks) == earned.points
    assert [(part.issuer, part.points) for part in coat.parts if part.rule == "new coat"] == [("linmu", 300)]
