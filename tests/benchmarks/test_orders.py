"""The orders benchmark sends what it says, and its client reads answers whole."""

import json
import socketserver
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from benchmarks import orders_load
from benchmarks.orders import percentile
from benchmarks.orders_hub import make_order
from benchmarks.routing_data import Basket
from canonical_model.order import Order

SOURCE = {"system": "shop", "id": "1", "occurred_at": "2026-03-01T09:30:00+08:00", "message_id": "msg_1"}


class _Slow(socketserver.StreamRequestHandler):
    """Answers each request in two pieces, with the number it found in the body as part of the status."""

    def handle(self) -> None:
        while head := self._head():
            length = int(head.partition("content-length: ")[2].split()[0])
            number = int(self.rfile.read(length))
            self.wfile.write(f"HTTP/1.1 {200 + number % 2} OK\r\nContent-Length: 4\r\n\r\nab".encode())
            self.wfile.flush()
            self.wfile.write(b"cd")

    def _head(self) -> str:
        lines = []
        while (line := self.rfile.readline()) not in (b"\r\n", b""):
            lines.append(line.decode().lower())
        return "".join(lines)


@pytest.fixture
def address() -> Iterator[Any]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Slow) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_address
        server.shutdown()


def test_every_request_is_sent_once_and_answered_for_itself(address: Any) -> None:
    requests = [orders_load.post("/v1/orders", "yk", str(n).encode()) for n in range(50)]
    sent = orders_load.push(address, requests, clients=4)
    assert sorted((each.number, each.status) for each in sent) == [(n, 200 + n % 2) for n in range(50)]
    assert all(each.sent_at <= each.answered_at for each in sent)


def test_a_pace_is_kept_and_waiting_counts_from_when_a_request_was_due(address: Any) -> None:
    requests = [orders_load.post("/v1/orders", "yk", b"1")] * 10
    sent = sorted(orders_load.push(address, requests, clients=2, per_s=50), key=lambda each: each.number)
    assert sent[-1].sent_at - sent[0].sent_at == pytest.approx(9 / 50)
    assert sent[-1].answered_at - sent[0].answered_at > 0


def test_a_basket_is_an_order_that_the_hub_understands() -> None:
    basket = Basket("536365", {7: 3, 9: 12}, 1_500, datetime(2011, 3, 1, 8, 26, tzinfo=UTC), -23.5, -46.6)
    order = Order.model_validate(
        {**json.loads(json.dumps(make_order("B1", basket))), "owner": "o", "brand": "b", "source": SOURCE}
    )
    assert [(line.sku, line.quantity) for line in order.lines] == [("SKU-00007", 3), ("SKU-00009", 12)]
    assert order.receiver is not None
    assert order.receiver.point is not None
    assert order.receiver.point.lat == -23.5


def test_a_percentile_is_a_value_that_was_measured() -> None:
    assert percentile([5.0, 1.0, 3.0], 0.5) == 3.0
    assert percentile(list(map(float, range(100))), 0.99) == 99.0
