"""Checkouts: goods kept for a shopper until the order comes, by the rules that will plan the order.

Many are decided at once, one after another, each all or nothing. A checkout is asked for by channel and order number:
the same question gets the same answer, another question is refused. It ends once: its order takes the goods over, the
channel gives them back, or its time is up. An order that comes before the sweep takes the goods, due or not.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from itertools import count
from typing import Any, Final

import orjson
from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.errors import ConflictError, HubError, Issue, NotFoundError, RecordError
from canonical_model.store import checkouts, crosswalk
from canonical_model.store.checkouts import Checkout, Key, NewCheckout
from canonical_model.store.holds import Held, HoldAsked, hold_many
from flows.ingest.store import Bundle, list_bundles
from flows.one_stock.bundles import OpenLine, items_of
from flows.one_stock.routing.decide import decide
from flows.one_stock.routing.problem import Action, Decision
from flows.one_stock.routing.rulebook import Rules
from flows.one_stock.rulebooks import rulebook_of
from flows.one_stock.snapshot import Snapshot, Wish
from flows.runtime.database import UnitOfWork

TRIES: Final = 5
MAX_LIFE_S: Final = 86_400

Company = tuple[str, str]
"""Owner and brand."""


@dataclass(frozen=True, slots=True)
class AskedLine:
    """``quantity`` base units of a SKU, by its name in the channel's scheme; what they cost, where that counts."""

    line_no: int
    sku: str
    quantity: int
    amount_minor: int = 0
    ship_group: str | None = None


@dataclass(frozen=True, slots=True)
class CheckoutAsked:
    """What a channel wants kept under its order number. ``scheme`` names the SKUs; ``ttl_s``: as the rules say."""

    owner: str
    brand: str
    channel: str
    order_no: str
    lines: tuple[AskedLine, ...]
    scheme: str
    ttl_s: int | None = None
    lat: float | None = None
    lon: float | None = None
    region_code: str | None = None
    member: str | None = None

    @property
    def key(self) -> Key:
        """What names it."""
        return self.owner, self.brand, self.channel, self.order_no

    @property
    def fingerprint(self) -> str:
        """The same for the same question; for how long is no part of it."""
        asked = asdict(self)
        del asked["ttl_s"]
        return sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()


class ShortError(ConflictError):
    """Not everything can be had together, so nothing is kept. ``issues`` names each line that is short."""

    default_code = "stock.short"

    def __init__(self, issues: Sequence[Issue]) -> None:
        super().__init__(f"{len(issues)} line(s) cannot be had in full; ask for less, or for other goods")
        self.issues = tuple(issues)


@dataclass(frozen=True, slots=True)
class _Draft:
    asked: CheckoutAsked
    checkout: Checkout
    lines: tuple[OpenLine, ...]
    rules: Rules


def open_checkouts(
    uow: UnitOfWork, asked: Sequence[CheckoutAsked], *, now: datetime | None = None, member_schemes: Sequence[str] = ()
) -> list[Checkout | HubError]:
    """The checkout of each request, in their order, or why there is none; the caller commits.

    Errors: RecordError (a SKU that nobody knows), ConflictError (the number was used for another question, or its
    checkout has ended), ShortError.
    """
    now = now or datetime.now(UTC)
    first: dict[Key, CheckoutAsked] = {}
    for request in asked:
        first.setdefault(request.key, request)
    answers = _open(uow.connection, list(first.values()), now, member_schemes)
    return [_answer(request, answers[request.key]) for request in asked]


def release(uow: UnitOfWork, key: Key, *, now: datetime | None = None) -> Checkout:
    """Give the goods back; nothing happens the second time. NotFoundError; ConflictError when the order has them."""
    found = _get_locked(uow.connection, key)
    if found.state == "confirmed":
        raise ConflictError(
            f"order {found.order_no} has taken these goods over; cancel the order", code="checkout.confirmed"
        )
    if found.state == "active":
        checkouts.give_back(uow.connection, [found], "released", now or datetime.now(UTC))
    return get_checkout(uow.connection, key)


def extend(uow: UnitOfWork, key: Key, ttl_s: int | None, *, now: datetime | None = None) -> Checkout:
    """Keep the goods for as long again from now, as the rules allow, and at most MAX_LIFE_S in all.

    NotFoundError; ConflictError when the checkout has ended.
    """
    found = _get_locked(uow.connection, key)
    if found.state != "active":
        raise _ended(found)
    rules = rulebook_of(uow.connection, key[0], key[1]).rules(found.channel)
    until = _until(now or datetime.now(UTC), ttl_s, rules)
    checkouts.extend(uow.connection, found.id, min(until, found.created_at + timedelta(seconds=MAX_LIFE_S)))
    return get_checkout(uow.connection, key)


def get_checkout(connection: Connection[DictRow], key: Key) -> Checkout:
    """The checkout of a key. NotFoundError if there never was one."""
    found = checkouts.find(connection, key)
    if found is None:
        raise _unknown(key)
    return found


def _get_locked(connection: Connection[DictRow], key: Key) -> Checkout:
    found = checkouts.lock(connection, [key]).get(key)
    if found is None:
        raise _unknown(key)
    return found


def _unknown(key: Key) -> NotFoundError:
    return NotFoundError(f"nothing was ever kept for order {key[3]!r} of {key[2]}", code="checkout.unknown")


def _ended(checkout: Checkout) -> ConflictError:
    return ConflictError(
        f"what was kept for {checkout.order_no!r} is {checkout.state}; send the order, or ask under another number",
        code="checkout.ended",
    )


def _until(now: datetime, ttl_s: int | None, rules: Rules) -> datetime:
    return now + timedelta(seconds=min(ttl_s or rules.hold_ttl_s, rules.hold_ttl_s))


def _answer(request: CheckoutAsked, answer: Checkout | HubError) -> Checkout | HubError:
    """The answer to the first request of its key, for this one; the two may ask different things."""
    if isinstance(answer, Checkout) and answer.fingerprint != request.fingerprint:
        return ConflictError(
            f"order {request.order_no!r} was asked for with other content; ask under another number",
            code="checkout.conflict",
        )
    return answer


def _open(
    connection: Connection[DictRow], asked: Sequence[CheckoutAsked], now: datetime, member_schemes: Sequence[str]
) -> dict[Key, Checkout | HubError]:
    answers: dict[Key, Checkout | HubError] = {}
    lines = _resolve(connection, asked)
    rules = {
        company: rulebook_of(connection, *company) for company in {(request.owner, request.brand) for request in asked}
    }
    drafts, claims = [], []
    for request in asked:
        found = lines[request.key]
        if isinstance(found, RecordError):
            answers[request.key] = found
            continue
        its = rules[request.owner, request.brand].rules(request.channel)
        shown = [asdict(line) for line in request.lines]
        claims.append(NewCheckout(request.key, request.fingerprint, shown, _until(now, request.ttl_s, its)))
        drafts.append((request, found, its))
    claimed, new = checkouts.claim(connection, claims) if claims else ({}, set())
    for request, _, _ in drafts:
        if request.key not in new:
            known = claimed[request.key]
            answers[request.key] = known if known.state == "active" else _ended(known)
    fresh = [_Draft(each, claimed[each.key], found, its) for each, found, its in drafts if each.key in new]
    return answers | _hold(connection, fresh, now, member_schemes)


def _hold(
    connection: Connection[DictRow], drafts: Sequence[_Draft], now: datetime, member_schemes: Sequence[str]
) -> dict[Key, Checkout | HubError]:
    """Plan and hold for new checkouts; those for which it cannot be done are forgotten."""
    answers: dict[Key, Checkout | HubError] = {}
    parcels: dict[int, list[dict[str, Any]]] = {}
    left = list(drafts)
    for _ in range(TRIES):
        if not left:
            break
        left = _try(connection, left, now, member_schemes, answers, parcels)
    for draft in left:
        answers[draft.asked.key] = ShortError(_all_short(draft))
    failed = [draft.checkout.id for draft in drafts if isinstance(answers.get(draft.asked.key), HubError)]
    if failed:
        checkouts.forget(connection, failed)
    if parcels:
        checkouts.keep(connection, parcels)
    return answers


def _try(
    connection: Connection[DictRow],
    drafts: Sequence[_Draft],
    now: datetime,
    member_schemes: Sequence[str],
    answers: dict[Key, Checkout | HubError],
    parcels: dict[int, list[dict[str, Any]]],
) -> list[_Draft]:
    """One round on a fresh snapshot; the drafts whose goods somebody else won meanwhile."""
    asked: list[tuple[_Draft, HoldAsked, list[dict[str, Any]]]] = []
    for company in sorted({(draft.asked.owner, draft.asked.brand) for draft in drafts}):
        mine = [draft for draft in drafts if (draft.asked.owner, draft.asked.brand) == company]
        wishes = [_wish(draft) for draft in mine]
        snapshot = Snapshot(connection, *company, wishes, now=now, member_schemes=member_schemes)
        for draft, wish in zip(mine, wishes, strict=True):
            problem = snapshot.problem(wish)
            decision = decide(problem, wish.rules)
            snapshot.take(wish, decision.plan.parcels)
            if decision.action is not Action.ALLOCATE:
                answers[draft.asked.key] = ShortError(_short(draft, decision))
                continue
            codes = {place.id: place.code for place in problem.places}
            kept = _parcels(draft, decision, codes)
            lines = [snapshot.hold_lines(wish, parcel) for parcel in decision.plan.parcels]
            references = [parcel["reference"] for parcel in kept]
            request = HoldAsked(*company, None, dict(zip(references, lines, strict=True)), day=snapshot.day)
            asked.append((draft, request, kept))
    contested = []
    held = hold_many(connection, [request for _, request, _ in asked]) if asked else []
    for (draft, _, kept), answer in zip(asked, held, strict=True):
        if isinstance(answer, Held):
            parcels[draft.checkout.id] = kept
            answers[draft.asked.key] = _with_parcels(draft.checkout, kept)
        else:
            contested.append(draft)
    return contested


def _wish(draft: _Draft) -> Wish:
    asked = draft.asked
    return Wish(
        draft.checkout.id,
        asked.channel,
        _all_or_nothing(draft.rules),
        items_of(draft.lines),
        asked.lat,
        asked.lon,
        asked.region_code,
        asked.member,
    )


@lru_cache(maxsize=64)
def _all_or_nothing(rules: Rules) -> Rules:
    return rules.model_copy(update={"on_short": "cancel"})


def _parcels(draft: _Draft, decision: Decision, codes: Mapping[int, str]) -> list[dict[str, Any]]:
    names = _names(draft)
    return [
        {
            "reference": checkouts.reference(draft.checkout.id, number),
            "place": codes[parcel.place_id],
            "lines": [
                {"line_no": line.line_no, "sku": names[line.line_no], "quantity": line.quantity}
                for line in parcel.lines
            ],
        }
        for number, parcel in enumerate(decision.plan.parcels, 1)
    ]


def _with_parcels(checkout: Checkout, parcels: list[dict[str, Any]]) -> Checkout:
    values = {name: getattr(checkout, name) for name in Checkout.__dataclass_fields__}
    return Checkout(**values | {"parcels": parcels})


def _names(draft: _Draft) -> dict[int, str]:
    """The channel's SKU by line number; a bundle's by those of its parts."""
    by_line = {line.line_no: line.sku for line in draft.asked.lines}
    return {line.line_no: by_line[_asked_as(line)] for line in draft.lines}


def _asked_as(line: OpenLine) -> int:
    """The number of the channel's own line."""
    return line.bundle_line_no or line.line_no


def _short(draft: _Draft, decision: Decision) -> list[Issue]:
    plan = decision.best_partial
    if plan is None:
        return _all_short(draft)
    return _issues(draft, {line.line_no: line.quantity for line in plan.unfilled})


def _all_short(draft: _Draft) -> list[Issue]:
    return _issues(draft, {line.line_no: line.wanted for line in draft.lines})


def _issues(draft: _Draft, short: Mapping[int, int]) -> list[Issue]:
    names = _names(draft)
    return [
        Issue(f"line {_asked_as(line)}", "stock.short", f"{short[line.line_no]} of {names[line.line_no]} cannot be had")
        for line in draft.lines
        if line.line_no in short
    ]


def _resolve(
    connection: Connection[DictRow], asked: Sequence[CheckoutAsked]
) -> dict[Key, tuple[OpenLine, ...] | RecordError]:
    """The lines in our SKUs, bundles in their parts; or what is not known."""
    wanted: dict[tuple[str, str, str], set[str]] = {}
    for request in asked:
        codes = wanted.setdefault((request.owner, request.brand, request.scheme), set())
        codes.update(line.sku for line in request.lines)
    known = {
        (owner, brand, scheme): crosswalk.resolve(
            connection, owner=owner, brand=brand, kind="sku", scheme=scheme, outside_ids=sorted(codes)
        )
        for (owner, brand, scheme), codes in sorted(wanted.items())
    }
    bundles = list_bundles(connection, sorted({sku_id for ids in known.values() for sku_id in ids.values()}))
    return {
        request.key: _lines(request, known[request.owner, request.brand, request.scheme], bundles) for request in asked
    }


def _lines(
    request: CheckoutAsked, known: Mapping[str, int], bundles: Mapping[int, Bundle]
) -> tuple[OpenLine, ...] | RecordError:
    issues, lines = [], []
    numbers = count(1 + max(line.line_no for line in request.lines))
    for n, line in enumerate(request.lines):
        sku_id = known.get(line.sku)
        bundle = bundles.get(sku_id) if sku_id is not None else None
        if sku_id is None or (bundle and any(part.sku_id is None for part in bundle.parts)):
            detail = f"the SKU {line.sku!r} is not known here; send the product first"
            issues.append(Issue(f"lines.{n}.sku", "reference.unknown", detail))
        elif bundle is None:
            lines.append(
                OpenLine(
                    line.line_no, sku_id, line.quantity, line.amount_minor, line.quantity, ship_group=line.ship_group
                )
            )
        else:
            lines += _parts(line, bundle, numbers)
    return RecordError(issues) if issues else tuple(lines)


def _parts(line: AskedLine, bundle: Bundle, numbers: Iterator[int]) -> list[OpenLine]:
    return [
        OpenLine(
            next(numbers),
            part.sku_id or 0,
            line.quantity * part.quantity,
            line.amount_minor // len(bundle.parts),
            line.quantity * part.quantity,
            line.line_no,
            part.quantity,
            line.ship_group,
        )
        for part in bundle.parts
    ]
