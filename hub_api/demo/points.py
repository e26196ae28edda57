"""A month of points: three brands' shops, an airline, a finance company and two suppliers, with faults on.

Shops ask the hub as channels do, four at once; in the second week the hub is killed and started again meanwhile.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import httpx

from canonical_model.errors import TransientError
from flows.runtime.bootstrap import Hub
from hub_api import points, points_rules
from hub_api.auth import Access, command_line, create_key
from hub_api.demo.estate import DemoEstate
from hub_api.demo.points_plan import (
    GIFTS,
    OPENING,
    PROVIDERS,
    SCARCE,
    SHOPS,
    Deed,
    Emptied,
    MonthPlan,
    Shop,
    account_of,
    members_of,
    returned,
    with_accounts,
)
from hub_api.demo.retailer import BRAND, OWNER

RULES: Final = Path(__file__).with_name("points.toml")
SENDERS: Final = 4
TRIES: Final = 120
PAUSE_S: Final = 0.25
KILLED_IN_WEEK: Final = 1
MERGED: Final = (0, 1)
STOCK: Final = 10_000
RETRIES: Final = 3

Drain = Callable[[], None]
Advance = Callable[[], None]


def publish_rules(hub: Hub) -> None:
    """Put the group's points rulebook in force; it is its first."""
    marketing = command_line(hub.estate.owner, hub.estate.brand)
    points_rules.publish(hub, marketing, RULES.read_text("utf-8"), "the group's points", against=0)


class PointsShops:
    """The brands' shops as clients of the hub, and their member centres, which exchange. Close them when done."""

    def __init__(self, estate: DemoEstate) -> None:
        self._stack = ExitStack()
        self._clients: dict[str, httpx.Client] = {}
        self._centres: dict[str, httpx.Client] = {}
        points = ("points:read", "points:write")
        for shop in SHOPS:
            own = (f"channel:{shop.system}", f"ingest:{shop.system}")
            self._clients[shop.brand] = self._client(estate, shop, "shop", [*points, *own])
            self._centres[shop.brand] = self._client(estate, shop, "member centre", points)

    def _client(self, estate: DemoEstate, shop: Shop, who: str, scopes: Sequence[str]) -> httpx.Client:
        key = create_key(estate.hub.database, owner=OWNER, brand=shop.brand, name=f"{shop.brand} {who}", scopes=scopes)
        return self._stack.enter_context(estate.client(key))

    def __enter__(self) -> "PointsShops":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def tell(self, shop: Shop, stream: str, records: Sequence[Mapping[str, Any]], key: str) -> None:
        """Send records in one message and wait until they are in."""
        path = f"/v1/ingest/{shop.system}/{stream}?wait=true"
        answer = self._send(self._clients[shop.brand], "POST", path, json=records, headers={"Idempotency-Key": key})
        answer.raise_for_status()

    def ask(self, deed: Deed, *, wait: bool) -> dict[str, Any] | None:
        """What became of the deed so far; None if it was refused, and nothing was done."""
        path = f"/v1/points/{deed.door}{'?wait=true' if wait else ''}"
        clients = self._centres if deed.door == "exchanges" else self._clients
        answer = self._send(clients[deed.shop.brand], "POST", path, json=deed.body)
        if answer.status_code == httpx.codes.CONFLICT:
            return None
        told: dict[str, Any] = answer.raise_for_status().json()
        return told

    def available(self, shop: Shop, member: int, at: str) -> int:
        """What a member may spend of the shop's programme."""
        path = f"/v1/points/members/{shop.holder(member)}"
        found = self._send(self._clients[shop.brand], "GET", path, params={"at": at})
        balances = {each["programme"]: each["available"] for each in found.raise_for_status().json()["programmes"]}
        return int(balances.get(shop.programme, 0))

    def _send(self, client: httpx.Client, method: str, path: str, **more: Any) -> httpx.Response:
        """Ask again under the same number while the hub is not there."""
        for _ in range(TRIES):
            try:
                answer = client.request(method, path, **more)
            except httpx.TransportError:
                time.sleep(PAUSE_S)
                continue
            if answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR:
                return answer
            time.sleep(PAUSE_S)
        raise TransientError(f"the hub did not answer {method} {path} in {TRIES} tries; its log is hub.log")


def open_points(estate: DemoEstate, shops: PointsShops, plan: MonthPlan) -> None:
    """Members at the shops, accounts at the providers, goods at the suppliers; the welcome bonus of each member."""
    for provider in PROVIDERS.values():
        accounts = [
            {"account": account_of(shop, member, provider), "balance": OPENING}
            for shop, member in with_accounts(plan.members)
        ]
        _post(estate, provider, "/_accounts", accounts)
    for supplier, goods in GIFTS.items():
        stock = [
            {
                "sku": sku,
                "title": title,
                "points": price,
                "cash_minor": cash_minor,
                "stock": {"*": SCARCE[1] if sku == SCARCE[0] else STOCK},
            }
            for sku, title, price, cash_minor in goods
        ]
        _post(estate, supplier, "/_goods", stock)
    for shop in SHOPS:
        shops.tell(shop, "members", members_of(shop, plan.members), f"{shop.brand} members")
        shops.tell(shop, "points", plan.bonus[shop.system], f"{shop.brand} bonus")


def live_month(
    estate: DemoEstate, shops: PointsShops, plan: MonthPlan, *, advance: Advance, drain: Drain
) -> dict[str, int]:
    """Week after week, then expiry on the day after the month. How much of what each kind was refused."""
    refused: dict[str, int] = {}

    def note(deed: Deed, told: dict[str, Any] | None) -> None:
        if told is None:
            refused[deed.door] = refused.get(deed.door, 0) + 1
        advance()

    with ThreadPoolExecutor(SENDERS) as senders:
        for number, week in enumerate(plan.weeks):
            buying = _all(senders, shops, week.together, note, wait=False)
            if number == KILLED_IN_WEEK:
                estate.server.kill()
                estate.server.start()
            _finish(buying)
            _finish(_all(senders, shops, week.one_by_one, note, wait=True))
            _until_earned(estate)
            merge_id = _merge(estate, number)
            _finish(_all(senders, shops, week.after, note, wait=True))
            _finish(_all(senders, shops, week.refunds, note, wait=True))
            _finish([senders.submit(_empty, shops, each, note) for each in week.emptied])
            _unmerge(estate, merge_id)
    drain()
    retry_parked(estate, drain)
    points.expire(estate.hub, _operator(estate), plan.ends.date().isoformat())
    drain()
    return refused


def _until_earned(estate: DemoEstate) -> None:
    """What was bought may be spent: wait until the purchases told so far have earned."""
    for _ in range(TRIES):
        (row,) = estate.hub.database.run(
            "SELECT count(*) AS n FROM flow_run WHERE flow = 'points.earn' AND state IN ('ready', 'running', 'waiting')"
        )
        if not row["n"]:
            return
        time.sleep(PAUSE_S)
    raise TransientError("purchases do not earn; look at `yipan run list --flow points.earn`")


def retry_parked(estate: DemoEstate, drain: Drain) -> None:
    """A person looks at what is parked, and lets it go on."""
    for _ in range(RETRIES):
        rows = estate.hub.database.run(
            "SELECT id FROM flow_run WHERE state = 'parked' AND starts_with(flow, 'points.')"
        )
        if not rows:
            return
        with estate.client(estate.operator_key) as client:
            for row in rows:
                client.post(f"/v1/runs/{row['id']}/retry").raise_for_status()
        drain()


def _all(
    senders: ThreadPoolExecutor,
    shops: PointsShops,
    deeds: Iterable[Deed],
    note: Callable[[Deed, dict[str, Any] | None], None],
    *,
    wait: bool,
) -> list[Any]:
    def do(deed: Deed) -> None:
        note(deed, shops.ask(deed, wait=wait))

    return [senders.submit(do, deed) for deed in deeds]


def _finish(begun: Iterable[Any]) -> None:
    for each in begun:
        each.result()


def _empty(shops: PointsShops, emptied: Emptied, note: Callable[[Deed, dict[str, Any] | None], None]) -> None:
    """Exchange everything, then return all of the last purchase: what it had earned is owed."""
    shop, purchase = emptied.shop, emptied.purchase
    available = shops.available(shop, emptied.member, emptied.at.isoformat())
    from_, to = next(pair for pair in shop.exchanges if not set(pair) & set(PROVIDERS))
    if available > PAID_OUT:
        body = {
            "exchange_no": emptied.exchange_no,
            "from": from_,
            "to": to,
            "holder": shop.holder(emptied.member),
            "points": available,
            "happened_at": emptied.at.isoformat(),
        }
        shops.ask(Deed(shop, "exchanges", emptied.exchange_no, body), wait=True)
    later = (emptied.at + timedelta(hours=1)).isoformat()
    lines = [{"line_no": line["line_no"], "quantity": line["quantity"]} for line in purchase.body["lines"]]
    deed = returned(shop, purchase, later, lines)
    note(deed, shops.ask(deed, wait=True))


def _merge(estate: DemoEstate, week: int) -> int:
    """Two members of the first brand are taken for one person: they spend from one wallet for a week."""
    first = SHOPS[0]
    kept, merged = (first.holder(member) for member in MERGED)
    found = points.merge(
        estate.hub,
        _operator(estate),
        number=f"MERGE-{week}",
        kept=kept,
        merged=merged,
        reason="both cards were shown by one person",
    )
    return int(found["merge_id"])


def _unmerge(estate: DemoEstate, merge_id: int) -> None:
    points.unmerge(estate.hub, _operator(estate), merge_id, reason="they were two people after all")


def _operator(estate: DemoEstate) -> Access:
    return command_line(estate.hub.estate.owner, BRAND)


def _post(estate: DemoEstate, system: str, path: str, body: Any) -> None:
    url = f"{estate.legacy[system].url}{path}"
    httpx.post(url, json=body, timeout=60, trust_env=False).raise_for_status()


PAID_OUT: Final = 10
"""Fewer points than this would become nothing in another programme."""
