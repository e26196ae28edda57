"""The CRM's side of the day: members and their points, pushed by SOAP and pulled again; compared at the end."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import httpx

from connectors.crm.books import CrmBooks
from flows.ingest.pull import pull
from hub_api.demo.books import Comparison, differences, read_all
from hub_api.demo.estate import DemoEstate
from hub_api.demo.retailer import Wish, sites

MEMBERS: Final = 80
GRADES: Final = ("01", "02", "03", "04", "A")


def enrol_members(estate: DemoEstate, day: Sequence[Wish]) -> None:
    """Enter the day's first buyers into the CRM, one in five without telling the hub; it pulls those."""
    stores = [site.code for site in sites() if not site.warehouse]
    members = [
        {
            "memberName": wish.name,
            "mobilePhone": f"+86 {wish.mobile[:3]} {wish.mobile[3:7]} {wish.mobile[7:]}" if n % 3 else wish.mobile,
            "gradeCode": GRADES[n % len(GRADES)],
            "shopCode": stores[n % len(stores)],
        }
        for n, wish in enumerate(day[:MEMBERS])
    ]
    pushed = [member for n, member in enumerate(members) if n % 5]
    _post(estate, "/_members", pushed)
    _post(estate, "/_members?push=0", [member for n, member in enumerate(members) if n % 5 == 0])


def with_cards(estate: DemoEstate, day: Sequence[Wish]) -> tuple[Wish, ...]:
    """The day's orders, those of the CRM's members with the number on their card."""
    cards = {
        "".join(filter(str.isdigit, row["mobilePhone"] or ""))[-11:]: row["cardNo"] for row in _books(estate).members()
    }
    return tuple(replace(wish, card=cards.get(wish.mobile)) for wish in day)


def pull_members(estate: DemoEstate) -> None:
    """What the CRM did not push."""
    report = pull(estate.hub, "crm", "member_list")
    if report.error is not None:
        raise report.error


def earn_points(estate: DemoEstate) -> None:
    """Every member earns, every third spends some of it."""
    cards = [row["cardNo"] for row in _books(estate).members()]
    earned = [{"cardNo": card, "points": 100 + n} for n, card in enumerate(cards)]
    spent = [{"cardNo": card, "points": -50} for card in cards[::3]]
    _post(estate, "/_points", [*earned, *spent])


def compare_members(estate: DemoEstate) -> Iterator[Comparison]:
    """The CRM's members and points against the hub's."""
    books = _books(estate)
    theirs = {row["memberId"]: row["cardNo"] for row in books.members()}
    found = read_all(estate, "/v1/members")
    yield differences(
        "members: CRM and hub", theirs, {row["source_id"]: row["code"] for row in found if row["system"] == "crm"}
    )
    entries = estate.hub.database.run("SELECT source_id, member_code, points FROM points_entry WHERE system = 'crm'")
    yield differences(
        "points entries: CRM and hub",
        {row["flowNo"]: (row["cardNo"], int(row["points"])) for row in books.points()},
        {row["source_id"]: (row["member_code"], row["points"]) for row in entries},
    )


def _books(estate: DemoEstate) -> CrmBooks:
    return CrmBooks(estate.hub.estate.connector("crm").config)


def _post(estate: DemoEstate, path: str, body: Any) -> None:
    httpx.post(f"{estate.legacy['crm'].url}{path}", json=body, timeout=60, trust_env=False).raise_for_status()
