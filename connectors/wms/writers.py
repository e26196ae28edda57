"""What the hub writes to the WMS: delivery orders, and taking them back."""

from collections.abc import Mapping
from typing import Any

from canonical_model.errors import ConflictError, NotFoundError, RejectedError
from canonical_model.ports import Manifest, Receipt, Record, SystemConfig, Writer
from connectors.wms.client import DUPLICATE, QimenClient


class DeliveryOrderWriter:
    """``deliveryorder.create``. The hub's key travels in ``extendProps.hubKey``; the order code is the parcel's."""

    def __init__(self, client: QimenClient, owner_code: str) -> None:
        self._client = client
        self._owner_code = owner_code

    def write(self, key: str, body: Record) -> Receipt:
        """The receipt names the WMS's own document. An order of that code under another key is a ConflictError."""
        lines = [{**line, "ownerCode": self._owner_code} for line in body["orderLines"]["orderLine"]]
        request = {**body, "orderLines": {"orderLine": lines}, "extendProps": {"hubKey": key}}
        try:
            answer = self._client.send("deliveryorder.create", request)
        except RejectedError as error:
            if error.code != DUPLICATE:
                raise
            return self._landed_before(key, str(body["deliveryOrder"]["deliveryOrderCode"]))
        return Receipt(str(answer["deliveryOrderId"]), {"warehouseCode": answer.get("warehouseCode", "")})

    def find(self, key: str) -> Receipt | None:
        """Asks for the order that carries the key."""
        order = _find_order(self._client, {"extendProps": {"hubKey": key}})
        return None if order is None else _receipt(order)

    def _landed_before(self, key: str, code: str) -> Receipt:
        order = _find_order(self._client, {"orderCode": code})
        if order is None or order["hubKey"] != key:
            raise ConflictError(f"delivery order {code} exists there under another key; look at both", code=DUPLICATE)
        return _receipt(order)


class CancelOrderWriter:
    """``order.cancel``. A cancelled order is cancelled again without complaint; a picked one is refused."""

    def __init__(self, client: QimenClient, owner_code: str) -> None:
        self._client = client
        self._owner_code = owner_code

    def write(self, key: str, body: Record) -> Receipt:
        """RejectedError ``wms.already_picked`` when it is too late."""
        request = {**body, "ownerCode": self._owner_code, "extendProps": {"hubKey": key}}
        self._client.send("order.cancel", request)
        return Receipt(str(body["orderCode"]))

    def find(self, key: str) -> Receipt | None:
        """Asks for the order that was cancelled under the key."""
        order = _find_order(self._client, {"extendProps": {"cancelKey": key}})
        return None if order is None else Receipt(str(order["deliveryOrderCode"]))


def writers(config: SystemConfig, manifest: Manifest) -> dict[str, Writer]:
    """The writers of one WMS."""
    owner_code = config.settings.get("owner_code", config.settings["customer_id"])
    clients = {spec.name: QimenClient(config, manifest, timeout_s=spec.timeout_s) for spec in manifest.writers}
    return {
        "delivery_order": DeliveryOrderWriter(clients["delivery_order"], owner_code),
        "cancel_order": CancelOrderWriter(clients["cancel_order"], owner_code),
    }


def _find_order(client: QimenClient, request: Mapping[str, Any]) -> dict[str, Any] | None:
    try:
        answer = client.ask("deliveryorder.query", request)
    except NotFoundError:
        return None
    return dict(answer["deliveryOrder"])


def _receipt(order: Mapping[str, Any]) -> Receipt:
    return Receipt(str(order["deliveryOrderId"]), {"status": order["status"]})
