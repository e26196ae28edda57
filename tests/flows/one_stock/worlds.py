"""Small worlds for tests of the simulation: a few stores, a few goods, orders from everywhere."""

from datetime import date
from typing import Final

from hypothesis import strategies as st

from flows.one_stock.routing.rulebook import Rulebook
from flows.one_stock.simulation import Line, Node, Order, World

SKUS: Final = ("0012", "T恤, 白", 'quoted "L"')
DAYS: Final = (None, date(2026, 3, 1), date(2026, 3, 2))
CHANNELS: Final = ("", "shop", "live")
RULES: Final = Rulebook(
    """
    parcel_cost = 8.0
    per_km = 0.006
    max_parcels = 3
    [channels.live]
    max_parcels = 1
    on_short = "cancel"
    tiers = [{ by = "parcels" }, { by = "cost", tolerance = 0.1 }, { by = "member" }]
    [channels.shop]
    on_short = "queue"
    filters = { min_rating = 2.0 }
    """
)
OTHER_RULES: Final = Rulebook("parcel_cost = 1.0\nper_km = 0.5\nmax_parcels = 1\nkeep_order_together = true\n")

_LATS: Final = st.integers(2_000, 4_500).map(lambda number: number / 100)
_LONS: Final = st.integers(10_000, 12_500).map(lambda number: number / 100)


def nodes() -> st.SearchStrategy[list[Node]]:
    """One to five places."""
    node = st.tuples(
        _LATS,
        _LONS,
        st.sampled_from((None, 1.5, 4.0)),
        st.sampled_from((None, None, 0, 1, 2)),
        st.sampled_from(("store", "warehouse")),
    )
    return st.lists(node, min_size=1, max_size=5).map(
        lambda found: [Node(number, f"S{number:03d}", *rest) for number, rest in enumerate(found, 1)]
    )


@st.composite
def orders(draw: st.DrawFn) -> Order:
    """An order of one to three SKUs; its number is given later."""
    wanted = draw(st.dictionaries(st.integers(0, len(SKUS) - 1), st.integers(1, 5), min_size=1))
    return Order(
        "",
        draw(_LATS),
        draw(_LONS),
        tuple(Line(sku_id, quantity, quantity * 100) for sku_id, quantity in wanted.items()),
        draw(st.sampled_from(CHANNELS)),
        draw(st.sampled_from(("", "S001", "S999"))),
        draw(st.sampled_from(DAYS)),
    )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """A world whose stock seldom suffices for all of its orders."""
    places = draw(nodes())
    stock = {
        sku_id: draw(st.dictionaries(st.sampled_from([node.id for node in places]), st.integers(1, 6)))
        for sku_id in range(len(SKUS))
    }
    found = draw(st.lists(orders(), min_size=1, max_size=6))
    numbered = [
        Order(f"00{number}", order.lat, order.lon, order.lines, order.channel, order.member, order.day)
        for number, order in enumerate(found)
    ]
    return World(SKUS, places, stock, numbered)
