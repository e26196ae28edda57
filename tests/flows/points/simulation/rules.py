"""Three programmes' rules as a document, and once more as arithmetic that knows nothing of rulebooks."""

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

SHANGHAI = ZoneInfo("Asia/Shanghai")
STARS, LEAVES, BERRIES, GROWTH = "yunshang/stars", "linmu/leaves", "yunshang/berries", "yunshang/growth"
MILES, COINS = "skymiles", "coins"
ISSUERS = {STARS: "yunshang", LEAVES: "linmu", BERRIES: "mall", GROWTH: "yunshang"}
GRACE_DAYS = {STARS: 5, LEAVES: 0, BERRIES: 0}
PROVIDERS = {MILES: "airline", COINS: "finance"}

RULES = """
zone = "Asia/Shanghai"
[programmes."yunshang/stars"]
title = "Stars"
issuer = "yunshang"
cost_micro = 5000
refund_grace_days = 5
growth = "yunshang/growth"
expiry = { kind = "months", months = 1 }
earn = [
    { name = "base", points = 1, per_minor = 100 },
    { name = "days of February", multiply = "2", campaign = "february", from = 2025-02-10, until = 2025-02-12 },
]
spend = { points_per_100_minor = 100 }
[programmes."yunshang/growth"]
title = "Growth"
issuer = "yunshang"
[programmes."yunshang/berries"]
title = "Berries"
issuer = "mall"
earn = [{ name = "base", points = 1, per_minor = 100, rounding = "up" }]
spend = { points_per_100_minor = 100 }
[programmes."linmu/leaves"]
title = "Leaves"
issuer = "linmu"
expiry = { kind = "date", month = 2, day = 28 }
earn = [{ name = "base", points = 1, per_minor = 100, rounding = "half_up" }]
spend = { points_per_100_minor = 60 }
[[exchange]]
from = "yunshang/stars"
to = "linmu/leaves"
give = 3
get = 2
spread = "0.02"
[[exchange]]
from = "yunshang/stars"
to = "skymiles"
give = 2
get = 1
provider = "airline"
[[exchange]]
from = "skymiles"
to = "yunshang/stars"
give = 1
get = 1
provider = "airline"
[[exchange]]
from = "yunshang/berries"
to = "coins"
give = 1
get = 1
provider = "finance"
"""


def line_points(programme: str, amount_minor: int, at: datetime) -> int:
    """What one line earns."""
    if programme == BERRIES:
        return (amount_minor + 99) // 100
    if programme == LEAVES:
        return (amount_minor + 50) // 100
    doubled = date(2025, 2, 10) <= at.astimezone(SHANGHAI).date() < date(2025, 2, 12)
    return amount_minor // 100 * (2 if doubled else 1)


def taken_back(points: int, quantity: int, before: int, now: int) -> int:
    """Of a line's points, what goes when ``now`` more units come back after ``before``."""
    return -(-points * (before + now) // quantity) + (-points * before // quantity)


def due(programme: str, at: datetime) -> datetime | None:
    """When points earned at a moment are gone."""
    day = at.astimezone(SHANGHAI).date()
    if programme == STARS:
        year, month = (day.year + day.month // 12, day.month % 12 + 1)
        last = date(year, month, min(day.day, monthrange(year, month)[1]))
    elif programme == LEAVES:
        last = date(day.year + (day > date(day.year, 2, 28)), 2, 28)
    else:
        return None
    gone = last + timedelta(days=1)
    return datetime(gone.year, gone.month, gone.day, tzinfo=SHANGHAI).astimezone(UTC)


def exchanged(from_: str, to: str, points: int) -> tuple[int, int]:
    """How many are kept, and how many come out."""
    if (from_, to) == (STARS, LEAVES):
        spread = -(-points * 2 // 100)
        return spread, (points - spread) * 2 // 3
    return 0, points // 2 if to == MILES else points
