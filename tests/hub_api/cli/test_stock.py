"""``yipan stock``: the same figures as over REST, as tables or as JSON."""

import pytest

from flows.runtime.bootstrap import Hub
from tests.hub_api.rest.test_stock import Shelves
from tests.hub_api.test_cli import Yipan


@pytest.fixture
def shelves(hub: Hub) -> Shelves:
    return Shelves(hub)


@pytest.mark.usefixtures("shelves")
def test_figures_are_shown_by_place_and_region(yipan: Yipan) -> None:
    (item,) = yipan("stock", "show", "A", "--channel", "shop", "--json").json["items"]
    assert (item["available"], len(item["places"])) == (43, 2)
    lines = yipan("stock", "show", "A", "SET", "--by", "region").out.splitlines()
    assert [line.split() for line in lines[1:4]] == [
        ["A", "all", "45"],
        ["A", "330000", "浙江省", "5"],
        ["A", "420000", "湖北省", "40"],
    ]
    assert yipan("stock", "show", "NONE").code == 4


@pytest.mark.usefixtures("shelves")
def test_units_are_kept_back(yipan: Yipan) -> None:
    start = yipan("stock", "changes", "--json").json
    assert yipan("stock", "safety", "A", "30", "--place", "WH", "--json").json["units"] == 30
    assert yipan("stock", "safety", "A", "9", "--channel", "shop").code == 0
    assert yipan("stock", "show", "A", "--channel", "shop", "--json").json["items"][0]["available"] == 6
    assert yipan("stock", "safety", "A", "--channel", "shop").code == 0
    assert yipan("stock", "show", "A", "--channel", "shop", "--json").json["items"][0]["available"] == 13
    assert yipan("stock", "safety", "A", "--place", "WH").code == 4
    changed = yipan("stock", "changes", "--after", str(start["next"]), "--json").json
    assert {item["location"]: item["safety"] for item in changed["items"]} == {"WH": 30, "HZ": 0, "NB": 0}
    shown = yipan("stock", "changes", "--after", str(start["next"]), "--channel", "shop").out
    assert "available" in shown


def test_warnings_and_suggestions_are_shown(shelves: Shelves, yipan: Yipan) -> None:
    assert yipan("stock", "warnings", "--json").json["sales_stale"] is True
    shelves.sell(WH=1, HZ=10, NB=2)
    assert "overstock" in yipan("stock", "warnings").out
    (move,) = yipan("stock", "suggestions", "--json").json["items"]
    assert (move["to_location"], move["units"]) == ("HZ", 35)
    spread = yipan("stock", "suggestions", "A", "--allocate", "19", "--from", "WH", "--json").json["items"]
    assert sum(item["units"] for item in spread) == 19
    assert yipan("stock", "suggestions", "--allocate", "19").code == 4
