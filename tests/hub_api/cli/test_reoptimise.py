"""``yipan order reoptimise`` says what became of it, and is on record."""

from flows.runtime.bootstrap import Hub
from tests.hub_api.test_cli import Yipan


def test_a_hub_without_waiting_orders_has_nothing_to_better(hub: Hub, yipan: Yipan) -> None:
    said = yipan("order", "reoptimise", "--limit", "10", "--json")
    assert (said.code, said.json) == (
        0,
        {"orders": 0, "changed": 0, "skipped": 0, "cost_before": 0.0, "cost_after": 0.0},
    )
    assert "order.reoptimise" in yipan("audit", "list").out


def test_it_takes_no_more_orders_than_it_may(yipan: Yipan) -> None:
    assert yipan("order", "reoptimise", "--limit", "0").code == 2
    assert yipan("order", "reoptimise", "--limit", "1001").code == 2
