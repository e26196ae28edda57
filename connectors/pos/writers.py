"""What the hub tells the tills: what became of an order that is sent home."""

from urllib.parse import quote

from canonical_model.errors import NotFoundError
from canonical_model.ports import Manifest, Receipt, Record, SystemConfig, Writer
from connectors.kit.http import HttpClient, json_object


class OrderStatusWriter:
    """``PUT /orders/{saleNo}/status`` with an Idempotency-Key, which the till system keeps."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    def write(self, key: str, body: Record) -> Receipt:
        """The receipt carries the number that the till system gave the notice."""
        path = f"/orders/{quote(str(body['saleNo']), safe='')}/status"
        answer = self._http.send("PUT", path, json=dict(body), headers={"Idempotency-Key": key})
        return Receipt(str(json_object(answer, write=True).get("noticeNo", "")))

    def find(self, key: str) -> Receipt | None:
        """Asks for the notice of that key."""
        try:
            answer = self._http.read("GET", "/statuses/by-key", params={"key": key})
        except NotFoundError:
            return None
        return Receipt(str(json_object(answer, write=False).get("noticeNo", "")))


def http_client(config: SystemConfig, *, timeout_s: float) -> HttpClient:
    """The connection of one till system."""
    headers = {"X-Access-Token": config.secrets["access_token"]}
    return HttpClient(config.settings["base_url"], timeout_s=timeout_s, headers=headers)


def writers(config: SystemConfig, manifest: Manifest) -> dict[str, Writer]:
    """The writers of one till system."""
    return {spec.name: OrderStatusWriter(http_client(config, timeout_s=spec.timeout_s)) for spec in manifest.writers}
