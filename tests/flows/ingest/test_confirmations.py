"""A warehouse's word about a parcel reaches the run that waits for it, once."""

from flows.ingest.refeed import feed_open
from flows.runtime.flow import Start
from flows.runtime.quarantine import Selection
from flows.runtime.runs import start_runs
from tests.flows.desk import Desk, statuses

CONFIRM = """<request>
  <deliveryOrder><deliveryOrderCode>{parcel}</deliveryOrderCode><warehouseCode>W1</warehouseCode>
    <outBizCode>{word}</outBizCode><orderConfirmTime>2026-11-03 09:31:00</orderConfirmTime></deliveryOrder>
  <orderLines><orderLine><orderLineNo>1</orderLineNo><itemCode>TEE</itemCode><planQty>3</planQty>
    <actualQty>2</actualQty></orderLine></orderLines>
</request>"""


def confirm(desk: Desk, parcel: str, word: str, *, key: str | None = None) -> list[str]:
    body = CONFIRM.format(parcel=parcel, word=word).encode()
    received = desk.send_body(body, "confirm", system="wms", media_type="text/xml", idempotency_key=key)
    desk.hub.runner.run_now(received.run_id)
    return statuses(desk.results(received))


def ship(desk: Desk, parcel: str) -> None:
    with desk.hub.database.unit() as uow:
        start_runs(uow, [Start("one_stock.ship_parcel", "yunshang", "yunshang", parcel, {"parcel_no": parcel})])
        uow.commit()


def test_a_confirmation_is_signalled_to_its_parcel_once(desk: Desk) -> None:
    ship(desk, "P1-1")
    assert confirm(desk, "P1-1", "C1") == ["accepted"]
    assert confirm(desk, "P1-1", "C1", key="sent again under another key") == ["duplicate"]
    (signal,) = desk.rows("SELECT name, key, payload FROM flow_signal")
    assert (signal["name"], signal["key"]) == ("confirmed", "C1")
    assert signal["payload"]["parcel_no"] == "P1-1"
    assert signal["payload"]["lines"] == [{"line_no": 1, "sku": "TEE", "shipped": 2, "lacking": 1}]
    assert signal["payload"]["shipped_at"] == "2026-11-03T09:31:00+08:00"


def test_a_word_about_an_unknown_parcel_is_kept_until_there_is_one(desk: Desk) -> None:
    assert confirm(desk, "P9-1", "C9") == ["quarantined"]
    assert desk.rows("SELECT missing_kind, missing_id FROM quarantine") == [
        {"missing_kind": "parcel", "missing_id": "P9-1"}
    ]
    ship(desk, "P9-1")
    with desk.hub.database.unit() as uow:
        assert feed_open(uow, Selection("yunshang", "yunshang", cause="parcel.unknown")).accepted == 1
        uow.commit()
    assert desk.one("SELECT count(*) FROM flow_signal") == 1
