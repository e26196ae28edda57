"""docs/stock.md says what the code does, and its example runs."""

import re
from pathlib import Path
from typing import Any

import pytest

from canonical_model.store import changes
from flows.one_stock.supply import Limits, WarningKind
from flows.runtime.bootstrap import Hub
from hub_api import supply
from tests.hub_api.conftest import Client
from tests.hub_api.rest.test_stock import Shelves

PAGE = (Path(__file__).parents[2] / "docs" / "stock.md").read_text("utf-8")


def test_the_example_follows_the_feed(hub: Hub, client: Client) -> None:
    names: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0], names)
    shelves, shop, figures = Shelves(hub), client("stock:read", "channel:shop"), {"A": 43, "B": 9, "SET": 9}
    after = shop.get("/v1/stock/changes").json()["next"]
    assert (names["follow"](shop, figures, after), figures) == (after, {"A": 43, "B": 9, "SET": 9})
    shelves.count(hours_ago=0.5, A={"WH": 1})
    assert names["follow"](shop, figures, after) > after
    assert figures == {"A": 4, "B": 9, "SET": 0}
    with pytest.raises(LookupError):
        names["follow"](shop, figures, after + 10_000)


def test_every_warning_and_every_limit_is_as_documented() -> None:
    table = PAGE.split("## Warnings")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(WarningKind)
    usual = Limits()
    for words in (
        f"less than {usual.short_weeks:g} week",
        f"more than {usual.over_weeks:g} weeks",
        f"more than {usual.idle_units} units",
        f"for {usual.stale_after_h:g} hours",
        f"missing to {usual.target_weeks:g} weeks",
        f"at least {usual.min_units} units",
    ):
        assert words in table, words
    limits = PAGE.split("## Limits")[1]
    for number in (changes.WINDOW, changes.KEEP.days, supply.MOST_LEVELS, supply.MOST_SKUS):
        assert f"| {number:,}" in limits, number
