"""``one_stock.ship_parcel``: one parcel, from the warehouse's yes to the warehouse's word that it left.

1. *write_wms*: the warehouse is asked. A refusal ends the run as ``refused``; the order chooses another place.
   Its yes is the pivot: from here only forward.
2. *write_erp*: the ERP books the sale. A refusal, such as a credit block, asks a person; the order stays sold.
3. *await_word*: the warehouse confirms, in one message or several, or the parcel is recalled. Where the rules say
   ``ship_within_s``, a place that has said nothing by then is asked once to give the parcel back; if it cannot,
   since the goods are picked, its word is awaited on.
4. *consume*: what left ends its hold, what was lacking is released and open again.
5. *cancel_erp*: a recalled parcel's sale is taken back.
"""

from collections.abc import Mapping
from typing import Any, Final

from canonical_model.order import ParcelStatus
from canonical_model.ports import Receipt, Record
from canonical_model.store import orders, stock
from flows.one_stock import reservation
from flows.one_stock.documents import find_location, outside_names, parcel_document
from flows.one_stock.rulebooks import rulebook_of
from flows.one_stock.shortfall import start_resolving
from flows.points.sales import start_for_parcel
from flows.runtime import runs
from flows.runtime.database import UnitOfWork
from flows.runtime.flow import Finish, Flow, Goto, OnReject, Park, Run, Start, outside, step, wait_for

RECALL_PARCEL: Final = "one_stock.recall_parcel"
LATE: Final = "late"
CONFIRMED: Final = "confirmed"
RECALLED: Final = "recalled"
CONFIRMATION_TIMEOUT_S: Final = 72 * 3600.0


def parcel_no_of(run: Run) -> str:
    """The parcel this run is about."""
    return str(run.input["parcel_no"])


def _parcel(run: Run, uow: UnitOfWork) -> Mapping[str, Any]:
    return orders.get_parcel(uow.connection, run.owner, run.brand, parcel_no_of(run))


def refuse(run: Run, uow: UnitOfWork) -> dict[str, Any]:
    """Undo of *open_parcel*: the place will not ship it; its goods are free again."""
    reservation.give_back(uow.connection, run.owner, run.brand, parcel_no_of(run), reason="refused")
    return {}


@step(undo=refuse)
def open_parcel(run: Run, uow: UnitOfWork) -> dict[str, Any]:
    """Note where the parcel ships from, and how soon it must."""
    parcel = _parcel(run, uow)
    channel = orders.find_channel(uow.connection, run.owner, run.brand, parcel["order_id"])
    rules = rulebook_of(uow.connection, run.owner, run.brand).rules(channel or "")
    return {"location_id": parcel["location_id"], "ship_within_s": rules.ship_within_s}


@step(name="open_parcel", undo=refuse)
def open_patiently(run: Run, uow: UnitOfWork) -> dict[str, Any]:
    """Version 1: note where the parcel ships from."""
    return {"location_id": _parcel(run, uow)["location_id"]}


def _fulfilment_writer(run: Run, uow: UnitOfWork) -> str:
    place = find_location(uow, run.owner, run.brand, _parcel(run, uow)["location_id"])
    return f"{place['fulfilled_by']}.delivery_order"


def _wms_answered(run: Run, uow: UnitOfWork, receipt: Receipt) -> dict[str, Any]:
    parcel_no = parcel_no_of(run)
    stock.accept(uow.connection, owner=run.owner, brand=run.brand, reference=parcel_no)
    orders.set_parcel(
        uow.connection, run.owner, run.brand, parcel_no, status=ParcelStatus.ACCEPTED, wms_document=receipt.outside_id
    )
    return {"document": receipt.outside_id}


@outside(_fulfilment_writer, answered=_wms_answered, on_reject=OnReject.RESOURCE, pivot=True)
def write_wms(run: Run, uow: UnitOfWork) -> Record:
    """Ask the place to ship."""
    system = _fulfilment_writer(run, uow).split(".")[0]
    return parcel_document(uow, run.owner, run.brand, parcel_no_of(run), system, with_receiver=True)


def _erp_writer(run: Run, uow: UnitOfWork) -> str | None:
    return uow.services.estate.find_writer(uow.services.estate.erp, "sales_order")


def _erp_answered(run: Run, uow: UnitOfWork, receipt: Receipt) -> dict[str, Any]:
    orders.set_parcel(uow.connection, run.owner, run.brand, parcel_no_of(run), erp_document=receipt.outside_id)
    return {"document": receipt.outside_id}


@outside(_erp_writer, answered=_erp_answered, on_reject=OnReject.PARK)
def write_erp(run: Run, uow: UnitOfWork) -> Record:
    """Book the sale."""
    erp = uow.services.estate.erp
    return parcel_document(uow, run.owner, run.brand, parcel_no_of(run), str(erp), with_receiver=False)


def _hurried(run: Run) -> bool:
    """Whether the place is to be asked for the parcel when its time is up; not if it has been, or has begun to ship."""
    return bool(run.results["open_parcel"].get("ship_within_s")) and "consume" not in run.results


def _patience_s(run: Run) -> float:
    return float(run.results["open_parcel"]["ship_within_s"]) if _hurried(run) else CONFIRMATION_TIMEOUT_S


def _when_silent(run: Run) -> OnReject | None:
    return None if _hurried(run) else OnReject.PARK


await_word = wait_for("await_word", signals=(CONFIRMED, RECALLED), timeout_s=_patience_s, on_timeout=_when_silent)
await_word_patiently = wait_for("await_word", signals=(CONFIRMED, RECALLED), timeout_s=CONFIRMATION_TIMEOUT_S)


@step()
def consume(run: Run, uow: UnitOfWork) -> Goto | Park | dict[str, Any]:
    """Book what left. A partial word is added up; the parcel ends when every unit is shipped or lacking."""
    word = run.results["await_word"]
    if word["signal"] is None:
        return _ask_back(run, uow)
    if word["signal"] == RECALLED:
        reservation.give_back(uow.connection, run.owner, run.brand, parcel_no_of(run), reason=RECALLED)
        return {"outcome": RECALLED, "reason": word["payload"].get("reason", RECALLED), "lines": []}
    parcel = _parcel(run, uow)
    if strange := _strange(run, uow, parcel, word["payload"]):
        return Park("confirmation.mismatch", f"{parcel['parcel_no']}: {strange}; ask the warehouse what it shipped")
    lines, surplus = _added_up(parcel["lines"], word["payload"]["lines"])
    if surplus:
        return Park("confirmation.surplus", f"{parcel['parcel_no']}: more was confirmed than ordered; check {surplus}")
    orders.set_parcel(
        uow.connection,
        run.owner,
        run.brand,
        parcel["parcel_no"],
        lines=lines,
        carrier=word["payload"].get("carrier"),
        waybill=word["payload"].get("waybill"),
    )
    if any(line["shipped"] + line["lacking"] < line["quantity"] for line in lines):
        return Goto("await_word", {"begun": True})
    return _close(run, uow, parcel, lines, word["payload"])


def _ask_back(run: Run, uow: UnitOfWork) -> Goto:
    """The place is late: ask it to give the parcel back, and hear what it says."""
    parcel_no = parcel_no_of(run)
    start = Start(RECALL_PARCEL, run.owner, run.brand, f"{parcel_no}:{LATE}", {"parcel_no": parcel_no, "reason": LATE})
    runs.start_runs(uow, [start])
    return Goto("await_word", {"asked_back": True})


def _strange(run: Run, uow: UnitOfWork, parcel: Mapping[str, Any], word: Mapping[str, Any]) -> str | None:
    """What the confirmation says that cannot be about this parcel: another place, or other goods in a line."""
    skus, place = outside_names(uow, run.owner, run.brand, parcel, word["source"]["system"])
    if word["location"] != place:
        return f"confirmed from {word['location']}, planned from {place}"
    planned = {line["line_no"]: skus[line["sku_id"]] for line in parcel["lines"]}
    for line in word["lines"]:
        if line["sku"] != planned.get(line["line_no"], line["sku"]):
            return f"line {line['line_no']} confirmed as {line['sku']}, planned as {planned[line['line_no']]}"
    return None


def _added_up(lines: list[dict[str, Any]], confirmed: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[int]]:
    said: dict[int, tuple[int, int]] = {}
    for word in confirmed:
        shipped, lacking = said.get(word["line_no"], (0, 0))
        said[word["line_no"]] = (shipped + word["shipped"], lacking + word["lacking"])
    added = []
    for line in lines:
        shipped, lacking = said.pop(line["line_no"], (0, 0))
        added.append({**line, "shipped": line["shipped"] + shipped, "lacking": line["lacking"] + lacking})
    surplus = [line["line_no"] for line in added if line["shipped"] + line["lacking"] > line["quantity"]]
    return added, surplus + sorted(said)


def _close(
    run: Run, uow: UnitOfWork, parcel: Mapping[str, Any], lines: list[dict[str, Any]], word: Mapping[str, Any]
) -> dict[str, Any]:
    ended = stock.ship(
        uow.connection,
        owner=run.owner,
        brand=run.brand,
        reference=parcel["parcel_no"],
        shipped_at=word["shipped_at"],
        sequence=word.get("extensions", {}).get("sequence"),
        lines=[stock.ShippedLine(line["line_no"], line["shipped"], line["lacking"]) for line in lines],
    )
    start_resolving(uow, run.owner, run.brand, ended.shortfalls, cause=parcel["parcel_no"])
    for line in lines:
        orders.add_shipped(uow.connection, parcel["order_id"], line["line_no"], line["shipped"])
    orders.set_parcel(
        uow.connection,
        run.owner,
        run.brand,
        parcel["parcel_no"],
        status=ParcelStatus.SHIPPED if any(line["shipped"] for line in lines) else ParcelStatus.CANCELLED,
        shipped_at=word["shipped_at"],
    )
    orders.add_event(uow.connection, parcel["order_id"], "parcel_closed", {"parcel_no": parcel["parcel_no"]})
    start_for_parcel(uow, run.owner, run.brand, parcel["order_id"], parcel["parcel_no"])
    told = [{"line_no": line["line_no"], "shipped": line["shipped"], "lacking": line["lacking"]} for line in lines]
    return {"outcome": "shipped", "lines": told}


def _erp_cancel_writer(run: Run, uow: UnitOfWork) -> str | None:
    recalled = run.results["consume"]["outcome"] == RECALLED
    booked = bool(_parcel(run, uow)["erp_document"])
    return (
        uow.services.estate.find_writer(uow.services.estate.erp, "sales_order_cancel") if recalled and booked else None
    )


@outside(_erp_cancel_writer, on_reject=OnReject.PARK)
def cancel_erp(run: Run, uow: UnitOfWork) -> Record:
    """Take the sale of a recalled parcel back."""
    parcel = _parcel(run, uow)
    return {"parcel_no": parcel["parcel_no"], "erp_document": parcel["erp_document"], "reason": RECALLED}


@step()
def close(run: Run, uow: UnitOfWork) -> Finish:
    """End with the word the order acts on: ``shipped`` or ``recalled``."""
    return Finish(run.results["consume"]["outcome"])


SHIP_PARCEL: Final = Flow(
    "one_stock.ship_parcel",
    version=2,
    steps=(open_parcel, write_wms, write_erp, await_word, consume, cancel_erp, close),
    retired=(
        Flow(
            "one_stock.ship_parcel",
            version=1,
            steps=(open_patiently, write_wms, write_erp, await_word_patiently, consume, cancel_erp, close),
        ),
    ),
)
