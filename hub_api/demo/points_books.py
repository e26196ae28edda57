"""Compares the ledger of points with the providers' and suppliers' own books, the shops' receipts, and itself."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

import httpx

from connectors.airline.books import AirlineBooks
from connectors.cardco.books import CardcoBooks
from connectors.finance.books import FinanceBooks
from connectors.giftco.books import GiftcoBooks
from hub_api import points_books, points_views
from hub_api.auth import command_line
from hub_api.demo.books import Comparison, differences
from hub_api.demo.estate import DemoEstate
from hub_api.demo.points_plan import OPENING, SHOPS, Deed, MonthPlan
from hub_api.demo.retailer import OWNER, TILL, Wish

LAPSE_S: Final = 3_600
PARTNER: Final = "PARTNER"
LIVE: Final = frozenset({"held", "ordered"})
OUT_OF_USE: Final = ("cancelled", 0, 0)

_MOVED: Final = """
    SELECT transfer.brand || ':' || transfer.reference AS reference, sum(posting.amount)::bigint AS points
    FROM ledger_transfer AS transfer JOIN ledger_posting AS posting ON posting.transfer_id = transfer.id
    JOIN ledger_account AS account ON account.id = posting.account_id
    WHERE transfer.owner = %s AND account.kind = 'outside' AND account.holder = %s
    GROUP BY transfer.brand, transfer.reference
"""
_SPENT: Final = """
    SELECT spend.brand || ':' || spend.reference AS order_no,
        (spend.detail ->> 'points')::bigint AS points, (spend.detail ->> 'cash_minor')::bigint AS cash_minor,
        sum(posting.amount)::bigint AS left
    FROM ledger_transfer AS spend
    JOIN ledger_transfer AS part ON part.id = spend.id OR part.reverses = spend.id
    JOIN ledger_posting AS posting ON posting.transfer_id = part.id
    JOIN ledger_account AS account ON account.id = posting.account_id
    WHERE spend.owner = %s AND spend.kind = 'spend' AND account.kind = 'redeemed' AND account.holder = %s
    GROUP BY spend.id
"""
_EARNED: Final = """
    SELECT transfer.reference, -sum(posting.amount)::bigint AS points
    FROM ledger_transfer AS transfer JOIN ledger_posting AS posting ON posting.transfer_id = transfer.id
    JOIN ledger_account AS account ON account.id = posting.account_id AND account.kind = 'issued'
    JOIN ledger_asset AS asset ON asset.id = account.asset_id
    WHERE transfer.owner = %s AND transfer.kind = 'earn' AND transfer.reference = ANY (%s)
        AND asset.brand || '/' || asset.code = %s
    GROUP BY transfer.reference
"""
_PARCELS: Final = """
    SELECT input ->> 'part' AS parcel_no, sum((line ->> 'quantity')::int)::int AS units
    FROM flow_run CROSS JOIN LATERAL jsonb_array_elements(input -> 'lines') AS line
    WHERE flow = 'points.earn' AND input ->> 'part' IS NOT NULL AND outcome IN ('earned', 'nothing')
    GROUP BY id
"""
_ENDS: Final = """
    SELECT flow, CASE WHEN state = 'done' THEN outcome ELSE state END AS ended, count(*)::int AS runs FROM flow_run
    WHERE starts_with(flow, 'points.') GROUP BY 1, 2 ORDER BY 1, 2
"""
_TRIED_AGAIN: Final = """
    SELECT count(*)::int AS steps FROM flow_step AS step JOIN flow_run AS run ON run.id = step.run_id
    WHERE starts_with(run.flow, 'points.') AND step.outcome = 'retry'
"""
_OWING: Final = """
    SELECT count(*)::int AS members FROM ledger_account AS account
    JOIN ledger_asset AS asset ON asset.id = account.asset_id
    WHERE asset.owner = %s AND account.kind = 'arrears' AND account.balance < 0
"""

Row = Mapping[str, Any]


def compare_points(estate: DemoEstate, plan: MonthPlan) -> Iterator[Comparison]:
    """One comparison after another; reads everybody's books anew."""
    config = {name: estate.hub.estate.connector(name).config for name in ("airline", "finance", "giftco", "cardco")}
    yield from _airline(estate, AirlineBooks(config["airline"]), plan)
    yield from _finance(estate, FinanceBooks(config["finance"]), plan)
    for name, title, books in (
        ("giftco", "goods for points: gift supplier's bill and ledger", GiftcoBooks(config["giftco"])),
        ("cardco", "goods for points: voucher supplier's bill and ledger", CardcoBooks(config["cardco"])),
    ):
        _let_lapse(estate, name)
        yield differences(title, *_bills(estate, name, list(books.orders())))
    yield _receipts(estate, plan)
    yield _statements(statements(estate))
    verified = points_books.verify(estate.hub, command_line(OWNER, estate.hub.estate.brand))
    broken = tuple(f"{each.where}: {each.reason}" for each in verified.broken)
    yield Comparison("points: sealed journal, balances, lots, holds", verified.entries, broken)


def compare_parcels(estate: DemoEstate, day: Sequence[Wish], orders: Sequence[Row]) -> Comparison:
    """The units that left for members in the day's own orders, parcel by parcel, and those that earned."""
    carded = {(wish.channel, wish.order_no) for wish in day if wish.card and wish.channel != TILL}
    left = {
        parcel["parcel_no"]: sum(line["shipped"] for line in parcel["lines"])
        for order in orders
        if (order["channel"], order["order_no"]) in carded
        for parcel in order["parcels"]
    }
    earned = {row["parcel_no"]: row["units"] for row in estate.hub.database.run(_PARCELS)}
    return differences("units that earn: members' parcels and ledger", {no: n for no, n in left.items() if n}, earned)


def statements(estate: DemoEstate) -> list[dict[str, Any]]:
    """Of each programme of the group and who bears its points: what became of them, and what it still costs."""
    return [row for shop in SHOPS for row in points_views.list_issuers(estate.hub, command_line(OWNER, shop.brand))]


def ends(estate: DemoEstate) -> list[dict[str, Any]]:
    """How many runs of each flow of points ended how."""
    return [dict(row) for row in estate.hub.database.run(_ENDS)]


def tried_again(estate: DemoEstate) -> int:
    """How many steps did not succeed at once, because somebody did not answer or the hub was gone."""
    (row,) = estate.hub.database.run(_TRIED_AGAIN)
    return int(row["steps"])


def owing(estate: DemoEstate) -> int:
    """How many accounts of members are below zero."""
    (row,) = estate.hub.database.run(_OWING, [OWNER])
    return int(row["members"])


def _airline(estate: DemoEstate, books: AirlineBooks, plan: MonthPlan) -> Iterator[Comparison]:
    rows = [row for row in books.transactions() if row["origin"] == PARTNER]
    moved = [
        (row["documentNumber"], row["accountNumber"], row["miles"] if row["type"] == "CREDIT" else -row["miles"])
        for row in rows
    ]
    balances = {row["accountNumber"]: row["balance"] for row in books.accounts()}
    yield from _provider(estate, "airline", "miles", moved, balances, plan)


def _finance(estate: DemoEstate, books: FinanceBooks, plan: MonthPlan) -> Iterator[Comparison]:
    rows = [row for row in books.movements() if row["source"] == PARTNER]
    moved = [
        (row["bizNo"], row["accountNo"], row["points"] if row["direction"] == "IN" else -row["points"]) for row in rows
    ]
    balances = {row["accountNo"]: row["balance"] for row in books.accounts()}
    yield from _provider(estate, "finance", "group points", moved, balances, plan)


def _provider(
    estate: DemoEstate,
    name: str,
    unit: str,
    moved: list[tuple[str, str, int]],
    balances: Mapping[str, int],
    plan: MonthPlan,
) -> Iterator[Comparison]:
    """Each movement, with how often it is there; and each account."""
    accounts = {
        f"{deed.shop.brand}:{deed.number}": deed.body["account"]
        for week in plan.weeks
        for deed in week.after
        if "account" in deed.body
    }
    ours = {row["reference"]: row["points"] for row in estate.hub.database.run(_MOVED, [OWNER, name])}
    counted = Counter(reference for reference, _, _ in moved)
    yield differences(
        f"{unit}: {name}'s movements and ledger",
        {reference: (counted[reference], account, points) for reference, account, points in moved},
        {reference: (1, accounts.get(reference), points) for reference, points in ours.items()},
    )
    expected: dict[str, int] = dict.fromkeys(balances, OPENING)
    for reference, points in ours.items():
        expected[accounts[reference]] += points
    yield differences(f"{unit}: {name}'s accounts and ledger", balances, expected)


def _let_lapse(estate: DemoEstate, supplier: str) -> None:
    """The supplier's clock is put ahead, so that what nobody confirmed has lapsed."""
    url = f"{estate.legacy[supplier].url}/_clock"
    httpx.put(url, json={"ahead_s": LAPSE_S}, timeout=30, trust_env=False).raise_for_status()


def _bills(estate: DemoEstate, supplier: str, orders: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    ours: dict[str, Any] = {}
    for row in estate.hub.database.run(_SPENT, [OWNER, supplier]):
        kept = ("ordered", row["points"], row["cash_minor"])
        ours[row["order_no"]] = [kept if row["left"] else OUT_OF_USE]
    theirs: defaultdict[str, list[tuple[str, int, int]]] = defaultdict(list)
    for order in orders:
        if order["state"] in LIVE:
            theirs[order["order_no"]].append((order["state"], order["points"], order["cash_minor"]))
    for order in orders:
        if order["order_no"] in ours and order["order_no"] not in theirs:
            theirs[order["order_no"]] = [("cancelled", order["points"], order["cash_minor"])]
    return dict(theirs), ours


def _receipts(estate: DemoEstate, plan: MonthPlan) -> Comparison:
    """What the shops reckoned at the till, for the programmes whose rule is so simple that they can."""
    theirs: dict[str, int] = {}
    ours: dict[str, int] = {}
    for shop in SHOPS:
        if shop.brand not in _AT_THE_TILL:
            continue
        receipts = {deed.number: _AT_THE_TILL[shop.brand](deed) for deed in plan.purchases() if deed.shop is shop}
        theirs |= {number: points for number, points in receipts.items() if points}
        rows = estate.hub.database.run(_EARNED, [OWNER, list(receipts), shop.programme])
        ours |= {row["reference"]: row["points"] for row in rows}
    return differences("points earned: receipts and ledger", theirs, ours)


def _leaves(deed: Deed) -> int:
    """Two for each 3.00 of the order, rounded half up."""
    return int(Fraction(2 * sum(line["amount_minor"] for line in deed.body["lines"]), 300) + Fraction(1, 2))


def _berries(deed: Deed) -> int:
    """Seven for each 5.00 of a line, rounded half to even."""
    return sum(round(Fraction(7 * line["amount_minor"], 500)) for line in deed.body["lines"])


_AT_THE_TILL: Final = {"linmu": _leaves, "qingye": _berries}


def _statements(rows: list[dict[str, Any]]) -> Comparison:
    went = ("spent", "expired", "exchanged_out", "clawed_back", "outstanding")
    wrong = [
        f"{row['programme']} of {row['issuer']}: {row['issued']} issued, {sum(row[name] for name in went)} told"
        for row in rows
        if row["issued"] != sum(row[name] for name in went)
    ]
    return Comparison("points issued = spent, expired, exchanged, clawed, left", len(rows), tuple(wrong))
