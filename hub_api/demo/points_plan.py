"""A month of points as the shops of three brands mean it: who buys, returns, spends and exchanges. It follows from the
seed; the month ends with yesterday."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from random import Random
from typing import Any, Final
from zoneinfo import ZoneInfo

from hub_api.demo.retailer import MINI_PROGRAM, catalogue

ZONE: Final = ZoneInfo("Asia/Shanghai")
MEMBERS: Final = 70
WEEKS: Final = 4
WEEK_DAYS: Final = 8
DAYS: Final = 33
"""How long ago the month began: points that live for a month have ended for those who bought first."""
BONUS: Final = 120
BONUS_DAYS: Final = 20
OPENING: Final = 5_000
ONE_BY_ONE: Final = 5
RETURNED: Final = 0.15
REFUNDED: Final = 4
PART: Final = 10
EMPTIED: Final = 2
ACCOUNTS_EVERY: Final = 3

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Shop:
    """Where a brand's members buy: the system that speaks for it, its programme, and what its points become."""

    brand: str
    system: str
    programme: str
    exchanges: tuple[tuple[str, str], ...]

    def holder(self, member: int) -> str:
        """How the shop names a member."""
        return f"{self.system}:{self.code(member)}"

    def code(self, member: int) -> str:
        """The member's number at the shop."""
        return f"{self.brand.upper()}{member:04d}"


SHOPS: Final = (
    Shop(
        "yunshang",
        MINI_PROGRAM,
        "yunshang/stars",
        (
            ("yunshang/stars", "linmu/leaves"),
            ("yunshang/stars", "qingye/berries"),
            ("yunshang/stars", "skymiles"),
            ("skymiles", "yunshang/stars"),
        ),
    ),
    Shop(
        "linmu",
        "linmu_shop",
        "linmu/leaves",
        (("linmu/leaves", "yunshang/stars"), ("linmu/leaves", "group"), ("group", "linmu/leaves")),
    ),
    Shop(
        "qingye",
        "qingye_shop",
        "qingye/berries",
        (("qingye/berries", "yunshang/stars"), ("qingye/berries", "skymiles")),
    ),
)
PROVIDERS: Final = {"skymiles": "airline", "group": "finance"}
GIFTS: Final[Mapping[str, tuple[tuple[str, str, int, int], ...]]] = {
    "giftco": (("MUG-1", "马克杯", 80, 990), ("BAG-1", "帆布袋", 150, 0), ("LAMP-1", "小夜灯", 420, 2_900)),
    "cardco": (("TOPUP-30", "话费30元", 260, 500), ("VIDEO-M", "视频月卡", 190, 0), ("CAFE-1", "咖啡券", 90, 300)),
}
SCARCE: Final = ("LAMP-1", 12)


@dataclass(frozen=True, slots=True)
class Deed:
    """One request of a shop: which door of ``/v1/points``, and what it says."""

    shop: Shop
    door: str
    number: str
    body: Row


@dataclass(frozen=True, slots=True)
class Emptied:
    """A member who exchanges all there is and then returns a purchase: below zero."""

    shop: Shop
    member: int
    exchange_no: str
    purchase: Deed
    at: datetime


@dataclass(slots=True)
class Week:
    """What happens in a week: purchases told in one go, purchases told one by one, and what follows from them."""

    together: list[Deed] = field(default_factory=list)
    one_by_one: list[Deed] = field(default_factory=list)
    after: list[Deed] = field(default_factory=list)
    refunds: list[Deed] = field(default_factory=list)
    emptied: list[Emptied] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class MonthPlan:
    """``members``: of each shop. ``bonus``: points that a shop's own software gave, by system. ``ends``: the midnight
    at which the month is over."""

    begins: datetime
    ends: datetime
    members: int
    weeks: tuple[Week, ...]
    bonus: Mapping[str, list[Row]]

    def purchases(self) -> Iterator[Deed]:
        """Every purchase."""
        for week in self.weeks:
            yield from week.together
            yield from week.one_by_one

    def deeds(self) -> int:
        """How many requests there are."""
        return sum(
            len(week.together) + len(week.one_by_one) + len(week.after) + len(week.refunds) + len(week.emptied)
            for week in self.weeks
        )


def account_of(shop: Shop, member: int, provider: str) -> str:
    """The member's number at the provider."""
    return f"{provider[:2].upper()}{1 + [each.brand for each in SHOPS].index(shop.brand)}{member:06d}"


def with_accounts(members: int) -> Iterator[tuple[Shop, int]]:
    """Those of so many members of each shop who have accounts at both providers."""
    for shop in SHOPS:
        for member in range(0, members, ACCOUNTS_EVERY):
            yield shop, member


def month_of_points(seed: int, *, members: int = MEMBERS, weeks: int = WEEKS) -> MonthPlan:
    """The month of that seed, for so many ``members`` of each shop (at least 12) and so many weeks of it."""
    random = Random(seed + 2)
    ends = datetime.combine(datetime.now(ZONE).date(), time(), ZONE)
    begins = ends - timedelta(days=DAYS)
    planner = _Planner(random, begins, members)
    planned = tuple(planner.week(number) for number in range(weeks))
    bonus = {shop.system: _bonus(shop, begins, members) for shop in SHOPS}
    return MonthPlan(begins, ends, members, planned, bonus)


def _bonus(shop: Shop, begins: datetime, members: int) -> list[Row]:
    return [
        {
            "id": f"WELCOME-{shop.code(member)}",
            "member": shop.code(member),
            "programme": shop.programme.partition("/")[2],
            "points": BONUS,
            "happened_at": begins.isoformat(),
            "expires_at": (begins + timedelta(days=BONUS_DAYS)).isoformat(),
        }
        for member in range(members)
    ]


class _Planner:
    def __init__(self, random: Random, begins: datetime, members: int) -> None:
        self._members = members
        self._random = random
        self._begins = begins
        self._goods = catalogue()
        self._numbers: dict[str, int] = {}

    def week(self, number: int) -> Week:
        week, begins = Week(), self._begins + timedelta(days=number * WEEK_DAYS)
        for shop in SHOPS:
            bought = [
                self._purchase(shop, member, begins) for member in range(self._members) if self._random.random() < 0.8
            ]
            for count, (_, deed) in enumerate(bought):
                (week.together if count % ONE_BY_ONE else week.one_by_one).append(deed)
            self._returns(week, shop, bought, begins)
            self._spends(week, shop, begins)
            self._exchanges(week, shop, begins)
        self._random.shuffle(week.after)
        return week

    def _number(self, prefix: str) -> str:
        self._numbers[prefix] = self._numbers.get(prefix, 0) + 1
        return f"{prefix}{self._begins:%Y%m%d}{self._numbers[prefix]:05d}"

    def _at(self, begins: datetime, first_day: int, last_day: int) -> str:
        seconds = self._random.randint(first_day * 86_400, (last_day + 1) * 86_400 - 1)
        return (begins + timedelta(seconds=seconds)).isoformat()

    def _purchase(self, shop: Shop, member: int, begins: datetime) -> tuple[int, Deed]:
        chosen = self._random.sample(self._goods, k=self._random.choice((1, 1, 2, 3)))
        lines = []
        for line_no, goods in enumerate(chosen, 1):
            quantity = self._random.choice((1, 1, 1, 2, 5))
            off = self._random.randint(0, goods.price_minor // 5)
            lines.append(
                {
                    "line_no": line_no,
                    "sku": goods.code,
                    "quantity": quantity,
                    "amount_minor": goods.price_minor * quantity - off,
                }
            )
        order_no = self._number(f"B{shop.brand[0].upper()}")
        body = {
            "programme": shop.programme,
            "holder": shop.holder(member),
            "order_no": order_no,
            "happened_at": self._at(begins, 0, 2),
            "lines": lines,
        }
        return member, Deed(shop, "earns", order_no, body)

    def _returns(self, week: Week, shop: Shop, bought: list[tuple[int, Deed]], begins: datetime) -> None:
        emptied = bought[:EMPTIED]
        for member, purchase in emptied:
            at = datetime.fromisoformat(self._at(begins, 7, 7))
            week.emptied.append(Emptied(shop, member, self._number("XALL"), purchase, at))
        for _, purchase in bought[EMPTIED:]:
            if self._random.random() < RETURNED:
                week.after.append(self._return(shop, purchase, self._at(begins, 3, 6)))

    def _return(self, shop: Shop, purchase: Deed, at: str) -> Deed:
        line = self._random.choice(purchase.body["lines"])
        quantity = self._random.randint(1, line["quantity"])
        return returned(shop, purchase, at, [{"line_no": line["line_no"], "quantity": quantity}])

    def _spends(self, week: Week, shop: Shop, begins: datetime) -> None:
        for count in range(max(1, self._members // 7)):
            supplier = self._random.choice(sorted(GIFTS))
            sku, _, points, cash_minor = self._random.choice(GIFTS[supplier])
            quantity = self._random.choice((1, 1, 2))
            order_no, at = self._number(f"G{shop.brand[0].upper()}"), self._at(begins, 3, 5)
            line = {
                "line_no": 1,
                "sku": sku,
                "quantity": quantity,
                "points": points * quantity,
                "cash_minor": cash_minor * quantity,
            }
            body = {
                "programme": shop.programme,
                "holder": shop.holder(self._random.randrange(self._members)),
                "order_no": order_no,
                "happened_at": at,
                "region_code": "310000",
                "supplier": supplier,
                "lines": [line],
                "points": points * quantity,
            }
            week.after.append(Deed(shop, "spends", order_no, body))
            if count % REFUNDED == 0:
                week.refunds.append(self._refund(shop, order_no, at, whole=count % (2 * REFUNDED) == 0))

    def _refund(self, shop: Shop, order_no: str, spent_at: str, *, whole: bool) -> Deed:
        at = datetime.fromisoformat(spent_at) + timedelta(days=1)
        number = f"R{order_no}"
        body = {"order_no": order_no, "refund_no": number, "happened_at": at.isoformat()}
        return Deed(shop, "refunds", number, body if whole else {**body, "points": PART})

    def _exchanges(self, week: Week, shop: Shop, begins: datetime) -> None:
        """A member exchanges at one moment of the week: the deeds are asked in any order, and none may go back."""
        members = [member for each, member in with_accounts(self._members) if each is shop]
        dated = {member: self._at(begins, 3, 6) for member in members}
        for from_, to in shop.exchanges:
            for member in self._random.sample(members, k=3):
                number = self._number("X")
                provider = PROVIDERS.get(from_) or PROVIDERS.get(to)
                body: dict[str, Any] = {
                    "exchange_no": number,
                    "from": from_,
                    "to": to,
                    "holder": shop.holder(member),
                    "points": self._random.randint(10, 120),
                    "happened_at": dated[member],
                }
                if provider:
                    body["account"] = account_of(shop, member, provider)
                week.after.append(Deed(shop, "exchanges", number, body))


def returned(shop: Shop, purchase: Deed, at: str, lines: Sequence[Row]) -> Deed:
    """What came back of a purchase."""
    number = f"RT{purchase.number}"
    body = {
        "programme": shop.programme,
        "order_no": purchase.number,
        "return_no": number,
        "happened_at": at,
        "lines": lines,
    }
    return Deed(shop, "returns", number, body)


def members_of(shop: Shop, members: int) -> list[Row]:
    """So many members of the shop as it tells the hub of them."""
    now = datetime.now(UTC).isoformat()
    return [
        {"id": shop.code(member), "code": shop.code(member), "name": f"会员{member}", "occurred_at": now}
        for member in range(members)
    ]
