"""The steps of an order's run: who loses its goods again and again pauses longer, who is cancelled keeps nothing."""

from collections.abc import Mapping
from typing import Any

import pytest

from flows.one_stock import fulfil_order
from flows.one_stock.decisions import Planned
from flows.one_stock.fulfil_order import CONTESTED, MAX_PAUSE_S, TRIES, reserve
from flows.one_stock.routing.problem import Action
from flows.one_stock.routing.rulebook import DEFAULT
from flows.runtime.flow import Goto, Run, Start
from flows.runtime.runs import start_runs
from tests.flows.desk import Desk
from tests.flows.one_stock.test_decisions import checked_out
from tests.flows.one_stock.town import OWNER, Town


def _run(order_id: int, results: Mapping[str, Any]) -> Run:
    return Run(1, OWNER, OWNER, "one_stock.fulfil_order", 2, str(order_id), {"order_id": order_id}, results, 1)


def _after(told: Mapping[str, Any] | None, desk: Desk) -> list[Any]:
    """What a run's reserve steps return until it may no longer look again at once."""
    results: dict[str, Any] = {"settle": told} if told else {}
    answers: list[Any] = []
    while not answers or isinstance(answers[-1], Goto):
        with desk.hub.database.unit() as uow:
            [answer] = reserve.call([_run(7, results)], uow)
        answers.append(answer)
        if isinstance(answer, Goto):
            results = {"reserve": answer.result}
    return answers


def test_who_loses_its_goods_to_others_looks_again_at_once_then_ever_later(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = Planned(Action.ALLOCATE, DEFAULT.rules(), contested=True)
    monkeypatch.setattr(fulfil_order, "plan_orders", lambda _, asks, **options: {ask.order_id: lost for ask in asks})
    answers = _after(None, desk)
    assert len(answers) == TRIES
    assert (answers[-1]["action"], answers[-1]["parcels"], answers[-1]["wait_s"]) == (CONTESTED, [], 1)
    told = {"refused": {"3": "late"}, "resourced": True, "waited": True, "pauses": 4}
    answers = _after(told, desk)
    assert (answers[-1]["wait_s"], answers[-1]["so_far"]) == (16, told)
    assert _after({"pauses": 60}, desk)[-1]["wait_s"] == MAX_PAUSE_S


def test_a_cancelled_order_keeps_nothing_of_its_checkout(desk: Desk) -> None:
    town = Town(desk.hub.database, places=1, skus=1)
    level = town.put(0, 0, 2)
    order = town.order((0, 2))
    number = town.rows("SELECT order_no FROM sales_order WHERE id = %s", order)[0]["order_no"]
    checked_out(town, desk, number, level, 2)
    with desk.hub.database.unit() as uow:
        start_runs(uow, [Start("one_stock.cancel_order", OWNER, town.brand, str(order), {"order_id": order})])
        uow.commit()
    desk.hub.runner.drain()
    assert town.rows("SELECT state FROM checkout WHERE brand = %s", town.brand) == [{"state": "released"}]
    assert town.rows("SELECT held FROM stock_level WHERE id = %s", level) == [{"held": 0}]
