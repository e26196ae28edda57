"""``/v1/stock``: what may be promised and to whom it is shown, what changes, and what should."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from canonical_model.ports import StockMeaning
from canonical_model.store import locations, products, stock, velocity
from flows.one_stock.rulebooks import publish_rulebook
from flows.runtime.bootstrap import Hub
from hub_api.auth import command_line
from hub_api.availability import set_safety
from tests.hub_api.conftest import BRAND, OWNER, Client

NOW = datetime.now(UTC)
RULES = """
parcel_cost = 8.0
per_km = 0.006
max_parcels = 4
[channels.shop]
published_safety = 2
[channels.live.filters]
kinds = ["store"]
"""


class Shelves:
    """SKUs A, B and the bundle SET (2 A, 1 B) at a warehouse and two stores, counted an hour ago by the WMS."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        with hub.database.unit() as uow:
            bundle = {"kind": "bundle", "components": [{"sku": "A", "quantity": 2}, {"sku": "B", "quantity": 1}]}
            goods = [self.named("A"), self.named("B"), {**self.named("SET"), **bundle}]
            products.upsert_products(uow.connection, [{**each, "spu": "S"} for each in goods])
            places = [
                {
                    **self.named("WH"),
                    "kind": "warehouse",
                    "region_code": "420106",
                    "point": {"lat": 30.5, "lon": 114.3},
                },
                {**self.named("HZ"), "kind": "store", "region_code": "330106", "point": {"lat": 30.3, "lon": 120.1}},
                {**self.named("NB"), "kind": "store", "region_code": "330203", "point": {"lat": 29.9, "lon": 121.5}},
            ]
            rows = [{**each, "services": ["ship"]} for each in places]
            locations.upsert_locations(uow.connection, rows, lambda *_: hub.estate.authority("warehouse", ""))
            publish_rulebook(uow, OWNER, BRAND, RULES, "", "test")
            uow.commit()
        self.count(A={"WH": 40, "HZ": 5, "NB": 0}, B={"WH": 10, "HZ": 1})

    def named(self, code: str) -> dict[str, Any]:
        source = {"system": "wms", "id": code, "occurred_at": NOW.isoformat(), "message_id": "m"}
        return {"owner": OWNER, "brand": BRAND, "source": source, "code": code, "name": code}

    def count(self, hours_ago: float = 1, **counts: dict[str, int]) -> None:
        moment = (NOW - timedelta(hours=hours_ago)).isoformat()
        facts = [
            {
                **self.named(f"{sku}/{place}"),
                "sku": sku,
                "location": place,
                "kind": "snapshot",
                "quantity": units,
                "as_of": moment,
            }
            for sku, by_place in counts.items()
            for place, units in by_place.items()
        ]
        with self.hub.database.unit() as uow:
            stock.apply_facts(
                uow.connection,
                facts,
                owner=OWNER,
                brand=BRAND,
                system="wms",
                message_id="m",
                sku_scheme="hub",
                location_scheme="hub",
                meaning=StockMeaning(),
            )
            uow.commit()

    def sell(self, reckoned_at: datetime = NOW, **weekly: float) -> None:
        """A sells so many a week at each place."""
        with self.hub.database.unit() as uow:
            velocity.refresh_velocity(uow.connection, OWNER, BRAND, reckoned_at)
            for place, units in weekly.items():
                uow.execute(
                    "INSERT INTO stock_velocity (sku_id, location_id, owner, brand, weekly, days, computed_at)"
                    " SELECT sku.id, location.id, sku.owner, sku.brand, %s, 28, %s FROM sku, location"
                    " WHERE sku.code = 'A' AND location.code = %s",
                    (units, reckoned_at, place),
                )
            uow.commit()


@pytest.fixture
def shelves(hub: Hub) -> Shelves:
    return Shelves(hub)


@pytest.fixture
def operator(client: Client, shelves: Shelves) -> httpx.Client:
    return client("stock:read", "ops:read", "ops:write")


@pytest.fixture
def shop(client: Client, shelves: Shelves) -> httpx.Client:
    return client("stock:read", "channel:shop")


def available(caller: httpx.Client, sku: str = "A", **query: Any) -> int:
    answer = caller.get("/v1/stock/availability", params={"sku": sku, **query}).raise_for_status().json()
    return int(answer["items"][0]["available"])


def test_the_pool_is_the_sum_of_its_places_and_bundles_are_whole_sets(operator: httpx.Client) -> None:
    answer = operator.get("/v1/stock/availability", params={"sku": ["A", "B", "SET", "NONE"]}).json()
    assert {item["sku"]: item["available"] for item in answer["items"]} == {"A": 45, "B": 11, "SET": 11}
    assert (answer["channel"], answer["unknown"]) == (None, ["NONE"])


def test_figures_are_told_apart_by_place_and_by_region(operator: httpx.Client) -> None:
    query: dict[str, Any] = {"sku": "A", "by": "place"}
    (item,) = operator.get("/v1/stock/availability", params=query).json()["items"]
    assert {place["location"]: place["available"] for place in item["places"]} == {"WH": 40, "HZ": 5}
    for region, expected in [
        (None, [("330000", "浙江省", 5), ("420000", "湖北省", 40)]),
        ("33", [("330100", "杭州市", 5)]),
        ("330100", [("330106", "西湖区", 5)]),
        ("11", []),
    ]:
        query = {"sku": "A", "by": "region"} | ({"region": region} if region else {})
        (item,) = operator.get("/v1/stock/availability", params=query).json()["items"]
        found = [(each["region_code"], each["name"], each["available"]) for each in item["regions"]]
        assert (found, item["places"]) == (expected, None)
    assert operator.get("/v1/stock/availability?sku=A&region=3").status_code == 422


def test_a_channel_sees_its_own_figures_and_no_other(operator: httpx.Client, shop: httpx.Client) -> None:
    assert available(operator, channel="shop") == 43
    assert available(operator, channel="live") == 5
    assert available(shop) == 43
    assert available(shop, channel="shop") == 43
    refused = shop.get("/v1/stock/availability?sku=A&channel=live")
    assert (refused.status_code, refused.json()["code"]) == (403, "access.channel")
    assert shop.get("/v1/stock/changes?channel=live").status_code == 403


@pytest.mark.parametrize("path", ["", "/warnings", "/suggestions", "/suggestions?sku=A&allocate=5&from=WH"])
def test_figures_of_every_place_are_not_for_channels(
    client: Client, operator: httpx.Client, shelves: Shelves, path: str
) -> None:
    channel = client("stock:read", "ops:read", "channel:shop")
    refused = channel.get(f"/v1/stock{path}")
    assert (refused.status_code, refused.json()["code"]) == (403, "access.channel")
    assert "/v1/stock/availability" in refused.json()["detail"]
    assert operator.get(f"/v1/stock{path}").status_code != 403


def test_units_are_kept_back_at_a_place_and_from_a_channel(
    hub: Hub, client: Client, operator: httpx.Client, shop: httpx.Client
) -> None:
    kept = operator.put("/v1/stock/safety", json={"sku": "A", "place": "WH", "units": 30})
    assert kept.json() == {"sku": "A", "place": "WH", "channel": None, "units": 30}
    assert (available(operator), available(shop)) == (15, 13)
    operator.put("/v1/stock/safety", json={"sku": "A", "channel": "shop", "units": 9}).raise_for_status()
    assert (available(operator), available(shop)) == (15, 6)
    operator.put("/v1/stock/safety", json={"sku": "A", "channel": "shop", "units": None}).raise_for_status()
    assert available(shop) == 13
    set_safety(hub, command_line(OWNER, BRAND), sku="A", place="WH", units=0)
    assert available(operator) == 45
    entries = client("audit:read").get("/v1/audit", params={"action": "stock.safety"}).json()["items"]
    assert [(entry["subject"], entry["detail"]["units"]) for entry in entries] == [
        ("sku:A", 0),
        ("sku:A", None),
        ("sku:A", 9),
        ("sku:A", 30),
    ]


@pytest.mark.parametrize(
    ("order", "status", "code"),
    [
        ({"sku": "A", "units": 1}, 422, "record.invalid"),
        ({"sku": "A", "place": "WH", "channel": "shop", "units": 1}, 422, "record.invalid"),
        ({"sku": "A", "place": "WH", "units": None}, 422, "record.invalid"),
        ({"sku": "A", "place": "NONE", "units": 1}, 404, "stock.unknown_level"),
        ({"sku": "NONE", "channel": "shop", "units": 1}, 404, "sku.unknown"),
        ({"sku": "A", "channel": "nobody", "units": 1}, 404, "system.unknown"),
        ({"sku": "A", "channel": "sister", "units": 1}, 403, "access.brand"),
    ],
)
def test_a_safety_stock_is_somebodys(operator: httpx.Client, order: dict[str, Any], status: int, code: str) -> None:
    answer = operator.put("/v1/stock/safety", json=order)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_the_feed_tells_operators_of_levels_and_channels_of_their_skus(
    shelves: Shelves, operator: httpx.Client, shop: httpx.Client
) -> None:
    start = shop.get("/v1/stock/changes").json()
    assert (start["items"], start["reset"]) == ([], True)
    assert shop.get("/v1/stock/changes", params={"after": start["next"]}).json()["items"] == []
    shelves.count(hours_ago=0.5, B={"WH": 3})
    told = shop.get("/v1/stock/changes", params={"after": start["next"]}).json()
    assert [(item["sku"], item["available"]) for item in told["items"]] == [("B", 2), ("SET", 2)]
    levels = operator.get("/v1/stock/changes", params={"after": start["next"]}).json()
    assert [(item["sku"], item["location"], item["on_hand"]) for item in levels["items"]] == [("B", "WH", 3)]
    operator.put("/v1/stock/safety", json={"sku": "SET", "channel": "shop", "units": 0}).raise_for_status()
    told = shop.get("/v1/stock/changes", params={"after": told["next"]}).json()
    assert {item["sku"]: item["available"] for item in told["items"]} == {"A": 43, "B": 2, "SET": 4}
    assert told["more"] is False


def test_warnings_name_what_is_short_and_what_is_too_much(shelves: Shelves, operator: httpx.Client) -> None:
    shelves.sell(WH=1, HZ=10, NB=2)
    answer = operator.get("/v1/stock/warnings").json()
    found = {(item["sku"], item["location"]): (item["kind"], item["units"]) for item in answer["items"]}
    assert found == {
        ("A", "WH"): ("overstock", 36),
        ("A", "HZ"): ("shortage", 35),
        ("A", "NB"): ("sold_out", 8),
    }
    assert (answer["next"], answer["sales_stale"]) == (None, False)
    first = operator.get("/v1/stock/warnings?limit=1").json()
    rest = operator.get("/v1/stock/warnings", params={"after": first["next"]}).json()
    assert first["items"] + rest["items"] == answer["items"]
    idle = operator.get("/v1/stock/warnings?idle_units=9&over_weeks=1000").json()["items"]
    assert [(item["sku"], item["location"], item["kind"]) for item in idle if item["kind"] == "idle"] == [
        ("B", "WH", "idle")
    ]


def test_old_figures_are_named_instead_of_judged(shelves: Shelves, operator: httpx.Client) -> None:
    shelves.sell(NOW - timedelta(hours=25), WH=1, HZ=10, NB=2)
    answer = operator.get("/v1/stock/warnings").json()
    assert (answer["items"], answer["sales_stale"]) == ([], True)
    assert operator.get("/v1/stock/suggestions").json()["items"] == []
    refused = operator.get("/v1/stock/suggestions?sku=A&allocate=5&from=WH")
    assert (refused.status_code, refused.json()["code"]) == (422, "sales.stale")
    stale = operator.get("/v1/stock/warnings?stale_after_h=0.1").json()["items"]
    assert {item["kind"] for item in stale} == {"stale"}


def test_transfers_go_from_too_much_to_too_little(shelves: Shelves, operator: httpx.Client) -> None:
    shelves.sell(WH=1, HZ=10, NB=2)
    items = operator.get("/v1/stock/suggestions").json()["items"]
    assert [(item["from_location"], item["to_location"], item["units"]) for item in items] == [("WH", "HZ", 35)]
    assert items[0]["km"] == pytest.approx(557, abs=5)
    assert operator.get("/v1/stock/suggestions?sku=B").json()["items"] == []
    assert operator.get("/v1/stock/suggestions?sku=NONE").status_code == 404


def test_an_allocation_spreads_what_there_is(shelves: Shelves, operator: httpx.Client) -> None:
    shelves.sell(WH=1, HZ=10, NB=2)
    items = operator.get("/v1/stock/suggestions?sku=A&allocate=19&from=WH").json()["items"]
    assert {item["to_location"]: item["units"] for item in items} == {"HZ": 15, "NB": 4}
    too_much = operator.get("/v1/stock/suggestions?sku=A&allocate=41&from=WH")
    assert (too_much.status_code, too_much.json()["code"]) == (422, "stock.too_little")
    assert operator.get("/v1/stock/suggestions?sku=A&allocate=1&from=NONE").status_code == 404
    for query in ("allocate=1", "from=WH", "allocate=1&from=WH&sku=A&sku=B"):
        assert operator.get(f"/v1/stock/suggestions?{query}").status_code == 422
