"""Orders of a message: lines in our SKUs and base units, what is personal sealed, fulfilment started."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from operator import itemgetter
from typing import Any, Final

import orjson

from canonical_model.errors import Issue
from canonical_model.order import OrderKind, OrderStatus
from canonical_model.store import crosswalk, orders
from flows.ingest import store
from flows.ingest.batch import Batch, Ignored, MessageHead, Outcome, Refusal, Values, unknown_reference
from flows.ingest.intake import Intake
from flows.ingest.store import Bundle
from flows.ingest.units import Units, to_base_units
from flows.one_stock.geography import locate
from flows.points.sales import start_for_orders
from flows.runtime import quarantine
from flows.runtime.database import UnitOfWork
from flows.runtime.flow import Start
from flows.runtime.quarantine import Missing
from flows.runtime.runs import start_runs
from flows.runtime.sealing import Sealed, Secret

FULFIL_ORDER: Final = "one_stock.fulfil_order"
NOT_PERSONAL: Final = ("region_code", "point")

Lines = list[dict[str, Any]]
"""Lines of one order with our SKU ids and quantities in base units."""

RECEIVER: Final = "receiver"
EXTENSIONS: Final = "extensions"
Part = tuple[int, str]
"""A sealed part of an order: its index in the batch, and RECEIVER or EXTENSIONS."""


def apply_orders(uow: UnitOfWork, intake: Intake, batch: Batch, values: Values) -> Outcome:
    """Insert the orders, sales before the returns that may reverse them."""
    outcome = Outcome()
    lines = _resolved_lines(uow, intake, batch, values, outcome)
    sales = {index: rows for index, rows in lines.items() if values[index]["kind"] != OrderKind.RETURN}
    _insert(uow, batch, values, sales, outcome)
    returns = {index: rows for index, rows in lines.items() if index not in sales}
    _refuse_orphans(uow, batch, values, returns, outcome)
    _insert(uow, batch, values, returns, outcome)
    return outcome


def _resolved_lines(
    uow: UnitOfWork, intake: Intake, batch: Batch, values: Values, outcome: Outcome
) -> dict[int, Lines]:
    """Lines with our SKU ids and base units, by index; orders with a line that has none are refused."""
    head = batch.head
    scheme = intake.spec.sku_scheme or head.system
    codes = sorted({line["sku"] for value in values.values() for line in value["lines"]})
    known = crosswalk.resolve(
        uow.connection, owner=head.owner, brand=head.brand, kind="sku", scheme=scheme, outside_ids=codes
    )
    sku_ids = sorted(set(known.values()))
    units, bundles = store.list_units(uow.connection, sku_ids), store.list_bundles(uow.connection, sku_ids)
    resolved: dict[int, Lines] = {}
    for index, value in values.items():
        unknown = [n for n, line in enumerate(value["lines"]) if line["sku"] not in known]
        if unknown:
            missing = Missing(scheme, "sku", value["lines"][unknown[0]]["sku"])
            outcome.refused[index] = unknown_reference(missing, f"lines.{unknown[0]}.sku")
            continue
        rows, issues = _in_base_units(value["lines"], known, units)
        if issues:
            outcome.refused[index] = Refusal(issues)
        elif stranger := _unknown_part(rows, bundles):
            outcome.refused[index] = stranger
        else:
            resolved[index] = _in_components(rows, bundles)
    return resolved


def _unknown_part(rows: Lines, bundles: Mapping[int, Bundle]) -> Refusal | None:
    """The refusal of an order with a bundle of which a component is not known yet."""
    for n, row in enumerate(rows):
        bundle = bundles.get(row["sku_id"])
        for part in bundle.parts if bundle else ():
            if bundle and part.sku_id is None:
                return unknown_reference(Missing(bundle.system, "sku", part.sku), f"lines.{n}.sku")
    return None


def _in_components(rows: Lines, bundles: Mapping[int, Bundle]) -> Lines:
    """The lines, in the place of a bundle one for each component; those are numbered on after the order's largest."""
    numbers = count(1 + max(row["line_no"] for row in rows))
    lines: Lines = []
    for row in sorted(rows, key=itemgetter("line_no")):
        bundle = bundles.get(row["sku_id"])
        lines += [row] if bundle is None else _components(row, bundle, numbers)
    return lines


def _components(row: Mapping[str, Any], bundle: Bundle, numbers: Iterator[int]) -> Lines:
    """One line for each component; their amounts add up to the bundle's."""
    units = sum(part.quantity for part in bundle.parts)
    amounts = [row["amount_minor"] * part.quantity // units for part in bundle.parts]
    for n in range(row["amount_minor"] - sum(amounts)):
        amounts[n] += 1
    return [
        {
            "line_no": next(numbers),
            "sku": part.sku,
            "sku_id": part.sku_id,
            "quantity": row["quantity"] * part.quantity,
            "amount_minor": amount,
            "ship_group": row.get("ship_group"),
            "bundle_line_no": row["line_no"],
            "per_bundle": part.quantity,
        }
        for part, amount in zip(bundle.parts, amounts, strict=True)
    ]


def _in_base_units(
    lines: Sequence[Mapping[str, Any]], known: Mapping[str, int], units: Mapping[int, Units]
) -> tuple[Lines, tuple[Issue, ...]]:
    rows, issues = [], []
    for n, line in enumerate(lines):
        sku_id = known[line["sku"]]
        quantity = to_base_units(line["quantity"], line["unit"], units[sku_id])
        if isinstance(quantity, Issue):
            issues.append(Issue(f"lines.{n}.{quantity.field}", quantity.code, quantity.detail))
        else:
            rows.append({**line, "sku_id": sku_id, "quantity": quantity})
    return rows, tuple(issues)


def _refuse_orphans(uow: UnitOfWork, batch: Batch, values: Values, returns: dict[int, Any], outcome: Outcome) -> None:
    """Take out the returns of orders that are not known yet; they wait for them in quarantine."""
    if not returns:
        return
    wanted = {(values[index]["channel"], values[index]["returns_order_no"]) for index in returns}
    known = store.list_known_orders(uow.connection, batch.head.owner, batch.head.brand, sorted(wanted))
    for index in list(returns):
        key = (values[index]["channel"], values[index]["returns_order_no"])
        if key not in known:
            outcome.refused[index] = unknown_reference(Missing(key[0], "order", key[1]), "returns_order_no")
            del returns[index]


def _insert(
    uow: UnitOfWork,
    batch: Batch,
    values: Values,
    lines: Mapping[int, Lines],
    outcome: Outcome,
) -> None:
    """Insert orders, mark those known before, and start the fulfilment of new delivery orders."""
    if not lines:
        return
    indexes = list(lines)
    sealed = _seal(uow, batch, values, indexes)
    new = [_new_order(uow, batch, values[index], lines[index], index, sealed) for index in indexes]
    starts, completed = [], []
    for inserted in orders.insert_orders(uow.connection, new):
        index = indexes[inserted.position]
        if not inserted.same:
            outcome.refused[index] = _conflict(values[index]["order_no"])
        elif not inserted.new:
            outcome.ignored[index] = Ignored.DUPLICATE
        elif values[index]["kind"] == OrderKind.DELIVERY:
            starts.append(_fulfil(batch.head_of(index), inserted.order_id))
        else:
            orders.add_event(uow.connection, inserted.order_id, values[index]["kind"], {})
            completed.append(inserted.order_id)
    start_runs(uow, starts)
    start_for_orders(uow, batch.head.owner, batch.head.brand, completed)
    numbers = [values[index]["order_no"] for index in indexes]
    outcome.linked |= quarantine.is_awaited(uow.connection, batch.head.owner, batch.head.brand, "order", numbers)


def _new_order(
    uow: UnitOfWork, batch: Batch, value: Mapping[str, Any], lines: Lines, index: int, sealed: Mapping[Part, Sealed]
) -> orders.NewOrder:
    personal = value.get(RECEIVER) or {}
    receiver, extensions = sealed.get((index, RECEIVER)), sealed.get((index, EXTENSIONS))
    key = receiver or extensions
    point = locate(personal)
    token = uow.services.vault.token
    return orders.NewOrder(
        body=_without_personal(value, extensions_open=batch.sealed is None),
        lines=lines,
        status=OrderStatus.RECEIVED if value["kind"] == OrderKind.DELIVERY else OrderStatus.COMPLETED,
        lat=point.lat if point else None,
        lon=point.lon if point else None,
        receiver_sealed=receiver.content if receiver else None,
        receiver_key_id=key.key_id if key else None,
        receiver_token=token(_as_text(personal)) if personal else None,
        extensions_sealed=extensions.content if extensions else None,
        extensions_token=token(_as_text(value[EXTENSIONS])) if extensions else None,
        traceparent=batch.head_of(index).traceparent,
    )


def _without_personal(value: Mapping[str, Any], *, extensions_open: bool) -> dict[str, Any]:
    """The order as it may lie open: of the receiver only the region; extensions only of a stream without persons."""
    body = dict(value)
    if receiver := value.get(RECEIVER):
        body[RECEIVER] = {name: receiver[name] for name in NOT_PERSONAL if receiver.get(name) is not None}
    if not extensions_open:
        body[EXTENSIONS] = {}
    return body


def _seal(uow: UnitOfWork, batch: Batch, values: Values, indexes: Sequence[int]) -> dict[Part, Sealed]:
    """Receivers and extensions sealed under the key of their inbox record, so that they are erased together.

    In a stream without personal fields only the receivers, under new keys.
    """
    vault = uow.services.vault
    if batch.sealed is None:
        receivers = {i: values[i][RECEIVER] for i in indexes if values[i].get(RECEIVER)}
        secrets = [
            Secret(_as_text(receiver).encode(), vault.token(receiver.get("mobile") or receiver["name"]))
            for receiver in receivers.values()
        ]
        sealed = vault.seal_many(uow.connection, secrets)
        return {(i, RECEIVER): cover for i, cover in zip(receivers, sealed, strict=True)}
    parts = [(i, name) for i in indexes for name in (RECEIVER, EXTENSIONS) if values[i].get(name)]
    items = [(batch.sealed[i].key_id, _as_text(values[i][name]).encode()) for i, name in parts]
    contents = vault.seal_many_under(uow.connection, items)
    return {part: Sealed(key_id, content) for part, (key_id, _), content in zip(parts, items, contents, strict=True)}


def _as_text(receiver: Mapping[str, Any]) -> str:
    return orjson.dumps(receiver, option=orjson.OPT_SORT_KEYS).decode()


def _conflict(order_no: str) -> Refusal:
    detail = f"order {order_no!r} is known with other content; an order does not change, cancel it and send a new one"
    return Refusal((Issue("order_no", "order.conflict", detail),))


def _fulfil(head: MessageHead, order_id: int) -> Start:
    return Start(
        flow=FULFIL_ORDER,
        owner=head.owner,
        brand=head.brand,
        key=str(order_id),
        input={"order_id": order_id},
        traceparent=head.traceparent,
    )
