"""What the flows of points ask the database beside the ledger's own functions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

MAX_RUNS: Final = 2_000

_HOLDERS: Final = """
    SELECT DISTINCT ON (name.outside_id) name.outside_id, name.inner_id
    FROM crosswalk AS name JOIN member ON member.id = name.inner_id
    WHERE name.owner = %(owner)s AND name.brand = %(brand)s AND name.scheme = ANY (%(schemes)s) AND name.kind = 'member'
        AND name.outside_id = ANY (%(codes)s)
    ORDER BY name.outside_id, array_position(%(schemes)s, name.scheme)
"""

_RUNS: Final = """
    SELECT id, flow, business_key, state, outcome, input, results FROM flow_run
    WHERE owner = %s AND brand = %s AND order_key = %s AND flow IN ('points.earn','points.claw_back')
    ORDER BY id LIMIT %s
"""

# Each asked row is looked up by itself: joined, a planner without fresh statistics compares every row with every other.
# What is left of the lots that were earned since a moment: what was taken back does not count, nor what has expired.
_GROWTH: Final = """
    SELECT asked.position, coalesce(sum(lot.remaining), 0)::bigint AS growth
    FROM jsonb_to_recordset(%(asked)s) AS asked (
        position integer, holder text, asset_id bigint, since timestamptz, at timestamptz)
    CROSS JOIN LATERAL (SELECT ledger_wallet_of(%(owner)s, asked.holder) AS name OFFSET 0) AS wallet
    CROSS JOIN LATERAL (
        SELECT id FROM ledger_account WHERE asset_id = asked.asset_id AND kind = 'member' AND wallet = wallet.name
        OFFSET 0
    ) AS account
    JOIN points_lot AS lot ON lot.account_id = account.id AND lot.is_open
        AND lot.earned_at >= asked.since AND lot.earned_at <= asked.at AND lot.due > asked.at
    GROUP BY asked.position
"""

_EARNED: Final = """
    SELECT asked.position, transfer.happened_at, transfer.detail -> 'points' AS points,
        transfer.detail -> 'campaigns' AS campaigns
    FROM jsonb_to_recordset(%(asked)s) AS asked (
        position integer, holder text, asset_id bigint, since timestamptz, until timestamptz)
    CROSS JOIN LATERAL (SELECT ledger_wallet_of(%(owner)s, asked.holder) AS name OFFSET 0) AS wallet
    CROSS JOIN LATERAL (
        SELECT id FROM ledger_account WHERE asset_id = asked.asset_id AND kind = 'member' AND wallet = wallet.name
        OFFSET 0
    ) AS account
    CROSS JOIN LATERAL (
        SELECT DISTINCT transfer_id FROM ledger_posting WHERE account_id = account.id AND amount > 0
    ) AS posting
    CROSS JOIN LATERAL (
        SELECT * FROM ledger_transfer WHERE id = posting.transfer_id LIMIT 1
    ) AS transfer
    WHERE transfer.kind = 'earn' AND transfer.happened_at >= asked.since AND transfer.happened_at < asked.until
"""


_GONE: Final = """
    SELECT asset_id, sum(expired)::bigint AS expired, sum(taken_back)::bigint AS taken_back FROM (
        SELECT account.asset_id, taken_back.amount AS taken_back, 0 AS expired
        FROM ledger_transfer AS transfer
        JOIN ledger_posting AS taken_back ON taken_back.transfer_id = transfer.id
        JOIN ledger_account AS account ON account.id = taken_back.account_id AND account.kind = 'issued'
        WHERE transfer.reverses = %(earn)s AND transfer.kind = 'claw_back'
        UNION ALL
        SELECT account.asset_id, 0, CASE WHEN lot.due <= %(at)s THEN lot.remaining - lot.held ELSE 0 END + coalesce((
            SELECT -sum(posting.amount) FROM ledger_posting AS posting
            JOIN ledger_transfer AS expiry ON expiry.id = posting.transfer_id AND expiry.kind = 'expire'
            WHERE posting.account_id = lot.account_id AND posting.lot_id = lot.id), 0)
        FROM ledger_posting AS earned JOIN points_lot AS lot ON lot.id = earned.lot_id AND lot.transfer_id = %(earn)s
        JOIN ledger_account AS account ON account.id = lot.account_id
        WHERE earned.transfer_id = %(earn)s AND earned.amount > 0
    ) AS gone
    GROUP BY asset_id
"""

_LAST_EXCHANGE: Final = """
    SELECT max(transfer.happened_at) AS happened_at
    FROM ledger_account AS account
    CROSS JOIN LATERAL (
        SELECT DISTINCT transfer_id FROM ledger_posting WHERE account_id = account.id
    ) AS posting
    CROSS JOIN LATERAL (
        SELECT kind, happened_at FROM ledger_transfer WHERE id = posting.transfer_id LIMIT 1
    ) AS transfer
    WHERE account.asset_id = ANY (%(assets)s) AND account.kind IN ('member', 'arrears')
        AND account.wallet = ledger_wallet_of(%(owner)s, %(holder)s) AND transfer.kind = 'exchange'
"""


@dataclass(frozen=True, slots=True)
class Gone:
    """What an earn gave of an asset and nobody has any more: units that ``expired``, and that were taken back."""

    expired: int
    taken_back: int


@dataclass(frozen=True, slots=True)
class Window:
    """Whose units of an asset, and of which time."""

    holder: str
    asset_id: int
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class EarnedBefore:
    """One earn of a window: when, how many points, and how many of them by which campaign."""

    happened_at: datetime
    points: int
    campaigns: Mapping[str, int]


def find_holders(
    connection: Connection[DictRow], owner: str, brand: str, schemes: Sequence[str], codes: Iterable[str]
) -> dict[str, str]:
    """The holder of each membership number that is known; of several members the one of the first scheme."""
    wanted = sorted(set(codes))
    if not wanted:
        return {}
    rows = connection.execute(
        _HOLDERS, {"owner": owner, "brand": brand, "schemes": list(schemes), "codes": wanted}
    ).fetchall()
    return {row["outside_id"]: str(row["inner_id"]) for row in rows}


def list_orders(connection: Connection[DictRow], order_ids: Sequence[int]) -> list[dict[str, Any]]:
    """These orders by id, each with its ``lines`` and with the number of the order that it returns, if it does."""
    rows = connection.execute(
        "SELECT id, owner, brand, channel, order_no, kind, placed_at, member_code, system, traceparent,"
        " body ->> 'returns_order_no' AS returns_order_no FROM sales_order WHERE id = ANY (%s) ORDER BY id",
        [list(order_ids)],
    ).fetchall()
    lines: dict[int, list[DictRow]] = {row["id"]: [] for row in rows}
    for line in connection.execute(
        "SELECT order_id, line_no, sku_id, sku_code, quantity, shipped, amount_minor FROM sales_order_line"
        " WHERE order_id = ANY (%s) ORDER BY order_id, line_no",
        [list(order_ids)],
    ):
        lines[line["order_id"]].append(line)
    return [{**row, "lines": lines[row["id"]]} for row in rows]


def runs_of_sale(connection: Connection[DictRow], owner: str, brand: str, order_key: str) -> list[DictRow]:
    """The earns and claw-backs of a sale, in the order in which they were started; at most MAX_RUNS."""
    return connection.execute(_RUNS, [owner, brand, order_key, MAX_RUNS]).fetchall()


def gone_of(connection: Connection[DictRow], transfer_id: int, at: datetime) -> dict[int, Gone]:
    """What is gone of an earn by ``at``, by asset; what is due by then has expired, noted or not."""
    rows = connection.execute(_GONE, {"earn": transfer_id, "at": at}).fetchall()
    return {row["asset_id"]: Gone(row["expired"], row["taken_back"]) for row in rows}


def growth_of(connection: Connection[DictRow], owner: str, windows: Sequence[Window]) -> list[int]:
    """The growth of each window that still stands."""
    found = {row["position"]: row["growth"] for row in _of(connection, _GROWTH, owner, windows, "at")}
    return [int(found.get(position, 0)) for position in range(len(windows))]


def earned_before(connection: Connection[DictRow], owner: str, windows: Sequence[Window]) -> list[list[EarnedBefore]]:
    """The earns of each window."""
    found: list[list[EarnedBefore]] = [[] for _ in windows]
    for row in _of(connection, _EARNED, owner, windows, "until"):
        campaigns = row["campaigns"] or {}
        found[row["position"]].append(EarnedBefore(row["happened_at"], int(row["points"] or 0), campaigns))
    return found


def last_exchange(connection: Connection[DictRow], owner: str, holder: str, sides: Sequence[int]) -> datetime | None:
    """When the holder's wallet last exchanged any of these assets, by the dates of its exchanges."""
    given = {"owner": owner, "holder": holder, "assets": list(sides)}
    row = connection.execute(_LAST_EXCHANGE, given).fetchone()
    return row["happened_at"] if row else None


def one_at_a_time(connection: Connection[DictRow], owner: str, holders: Iterable[str]) -> None:
    """Until the commit nobody else reckons what one of these wallets may still earn."""
    connection.execute(
        "SELECT pg_advisory_xact_lock(key) FROM (SELECT DISTINCT hashtextextended(concat_ws(E'\\x1f', %(owner)s::text,"
        " ledger_wallet_of(%(owner)s, holder)), 92026) AS key FROM unnest(%(holders)s::text[]) AS holder ORDER BY key)"
        " AS keys",
        {"owner": owner, "holders": sorted(set(holders))},
    )


def wallets_of(connection: Connection[DictRow], owner: str, holders: Iterable[str]) -> dict[str, str]:
    """Whose wallet each of these holders spends from."""
    rows = connection.execute(
        "SELECT holder, ledger_wallet_of(%s, holder) AS wallet FROM unnest(%s::text[]) AS holder",
        [owner, sorted(set(holders))],
    ).fetchall()
    return {row["holder"]: row["wallet"] for row in rows}


def left_of_spend(connection: Connection[DictRow], transfer_id: int) -> int:
    """How many points of a spend were not given back."""
    row = connection.execute(
        "SELECT coalesce(sum(posting.amount), 0)::bigint AS units FROM ledger_transfer AS transfer"
        " JOIN ledger_posting AS posting ON posting.transfer_id = transfer.id"
        " JOIN ledger_account AS account ON account.id = posting.account_id AND account.kind = 'redeemed'"
        " WHERE transfer.id = %(spend)s OR transfer.reverses = %(spend)s",
        {"spend": transfer_id},
    ).fetchone()
    assert row is not None
    return int(row["units"])


def find_progress(connection: Connection[DictRow], owner: str, brand: str) -> int:
    """The last points entry of a brand that is in the ledger; 0 before the first."""
    row = connection.execute(
        "SELECT entry_id FROM points_intake WHERE owner = %s AND brand = %s", [owner, brand]
    ).fetchone()
    return int(row["entry_id"]) if row else 0


def set_progress(connection: Connection[DictRow], owner: str, brand: str, entry_id: int) -> None:
    """Note the last points entry of a brand that is in the ledger."""
    connection.execute(
        "INSERT INTO points_intake (owner, brand, entry_id) VALUES (%s, %s, %s)"
        " ON CONFLICT (owner, brand) DO UPDATE SET entry_id = excluded.entry_id",
        [owner, brand, entry_id],
    )


def _of(connection: Connection[DictRow], query: Any, owner: str, windows: Sequence[Window], end: str) -> list[DictRow]:
    asked = [
        {
            "position": position,
            "holder": window.holder,
            "asset_id": window.asset_id,
            "since": window.since.isoformat(),
            end: window.until.isoformat(),
        }
        for position, window in enumerate(windows)
    ]
    return connection.execute(query, {"owner": owner, "asked": Jsonb(asked)}).fetchall() if asked else []
