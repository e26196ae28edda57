"""What is known of an outside write in doubt, and what the destination says when asked again."""

from datetime import UTC, datetime
from typing import Any, Final

import orjson

from canonical_model.errors import HubError, NotFoundError, TransientError, UncertainError
from canonical_model.ports import Idempotency, Receipt
from flows.runtime.bootstrap import Hub
from flows.runtime.database import Row, UnitOfWork
from flows.runtime.sealing import Sealed
from flows.runtime.writers import BoundWriter
from hub_api.auth import Access
from hub_api.masking import mask
from hub_api.stories.runs import IN_DOUBT, tell_effect
from hub_api.stories.shapes import Evidence, ReadBack

NOT_PERSONAL: Final = ("region_code", "point")
PERSONAL_PARTS: Final = frozenset({"receiver", "member", "buyer", "sender"})
PERSONAL_FIELDS: Final = frozenset({"mobile", "phone", "tel", "email", "street", "address", "id_card", "id_number"})


def evidence(hub: Hub, access: Access, effect_id: int, *, ask: bool = True) -> Evidence:
    """What was sent, when, what went wrong, and with ``ask`` a fresh look over there (an outside call: takes up to
    the writer's timeout, no transaction is open meanwhile). NotFoundError if the brand has no such effect.
    """
    access.require("ops", "read")
    with hub.database.unit() as uow:
        row = uow.execute(
            "SELECT * FROM effect WHERE id = %s AND owner = %s AND brand = %s",
            (effect_id, access.owner, access.brand),
        ).fetchone()
        if row is None:
            raise NotFoundError(f"there is no effect {effect_id}", code="effect.unknown")
        sent = _sent(uow, row)
    writer = _find_writer(hub, row)
    read_back = _look(writer, row["key"]) if ask and writer is not None else None
    idempotency = writer.spec.idempotency if writer is not None else Idempotency.NONE
    return Evidence(tell_effect(row), str(idempotency), sent, read_back, _advice(row, idempotency, read_back))


def _sent(uow: UnitOfWork, row: Row) -> Any:
    """The body as it may be shown; None once erased, or if none was kept."""
    if row["body"] is None:
        return None
    plain: bytes | None = bytes(row["body"])
    if row["body_key_id"] is not None:
        (plain,) = uow.services.vault.open_many(uow.connection, [Sealed(row["body_key_id"], row["body"])])
    return None if plain is None else _masked(orjson.loads(plain))


def _masked(value: Any) -> Any:
    """A canonical document with what may say who someone is masked."""
    match value:
        case dict():
            return {key: _masked_part(key, inner) for key, inner in value.items()}
        case list():
            return [_masked(inner) for inner in value]
    return value


def _masked_part(key: str, value: Any) -> Any:
    if key in PERSONAL_PARTS and isinstance(value, dict):
        return {name: inner if name in NOT_PERSONAL else mask(inner) for name, inner in value.items()}
    return mask(value) if key in PERSONAL_FIELDS else _masked(value)


def _find_writer(hub: Hub, row: Row) -> BoundWriter | None:
    """The effect's writer; None when the estate no longer has it."""
    name = hub.estate.find_writer(row["system"], row["writer"])
    return hub.estate.writer(name) if name else None


def _look(writer: BoundWriter, key: str) -> ReadBack:
    asked_at = datetime.now(UTC)
    if writer.spec.idempotency is Idempotency.NONE:
        return ReadBack("unable", asked_at, words=f"{writer.system} cannot be asked by our key; look there")
    try:
        receipt = writer.find(key)
    except (TransientError, UncertainError) as error:
        return ReadBack("away", asked_at, words=error.detail)
    except HubError as error:
        return ReadBack("unable", asked_at, words=error.detail)
    return _read(writer, key, receipt, asked_at)


def _read(writer: BoundWriter, key: str, receipt: Receipt | None, asked_at: datetime) -> ReadBack:
    """What an answer means; only a writer that declares ``read_back`` proves absence by silence."""
    if receipt is not None:
        words = f"{writer.system} has it as {receipt.outside_id}"
        return ReadBack("landed", asked_at, receipt.outside_id, _masked(dict(receipt.detail)), words)
    if writer.spec.idempotency is Idempotency.READ_BACK:
        return ReadBack("absent", asked_at, words=f"{writer.system} knows nothing of {key}")
    return ReadBack("unable", asked_at, words=f"{writer.system} shows nothing by our key, which proves nothing")


def _advice(row: Row, idempotency: Idempotency, read_back: ReadBack | None) -> str:
    if row["state"] not in IN_DOUBT:
        return f"it is {row['state']}; there is nothing to settle"
    match read_back.answer if read_back else None:
        case "landed":
            return "settle it as landed, with the number that the destination gave"
        case "absent":
            return "it is not there; if it cannot still be on its way, settle it as not landed and it is sent again"
        case "away":
            return "the destination does not answer; ask again when it does"
    if idempotency is Idempotency.NATIVE_KEY:
        return "the destination refuses doubles by our key; settle it as not landed and it is sent again safely"
    return "look in the destination itself by what was sent, then settle it"
