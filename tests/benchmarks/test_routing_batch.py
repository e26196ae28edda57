"""The joint optimum that the batch is measured by."""

import pytest

from benchmarks.routing_batch import Load, joint_optimum
from flows.one_stock.routing.batch import reoptimise
from tests.flows.one_stock.routing.test_batch import FAR, NEAR, TEA, order


def test_the_joint_optimum_swaps_what_one_by_one_gave_to_the_wrong_order() -> None:
    first = order(1, {TEA: 1}, {NEAR: 5, FAR: 9}, {NEAR: {TEA: 1}})
    second = order(2, {TEA: 1}, {NEAR: 5, FAR: 500}, {FAR: {TEA: 1}})
    found, proved = joint_optimum(Load([first, second], {}), 10.0)
    assert found == pytest.approx(10 + 9 + 10 + 5)
    assert proved == pytest.approx(found)
    assert reoptimise([first, second], {}, {}).after.cost == pytest.approx(found)
