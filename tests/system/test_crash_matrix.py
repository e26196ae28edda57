"""The whole estate under blows: a worker is killed after any commit, the API process is killed, the broker is wiped,
PostgreSQL crashes. In the end hub, WMS, SAP and tills have in their books what an undisturbed day leaves there."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from flows.runtime import embedded
from flows.testing.brokers import delete_queues, rabbitmq
from flows.testing.databases import crash, server_folder, start_again
from hub_api.demo.estate import DemoEstate, running_estate
from hub_api.demo.supply import open_sites, place_sites
from tests.system.crash_books import Books, differences
from tests.system.crash_scenario import Scenario
from tests.system.fated_worker import FatedWorker

MOST_COMMITS = 600
ENOUGH_LIVED = 5  # the two workers never share the work in quite the same way
SETTINGS = {"YIPAN_LEASE_S": "2", "YIPAN_SWEEP_S": "0.3", "YIPAN_WORKERS": "3"}
ACTS = (
    "goods entered", "stock counted", "whole order placed", "split order placed", "unfilled order placed",
    "refused order placed", "cancelled order placed", "recalled order placed", "till order rung up", "cancelled",
    "goods lost", "picking", "lacking order placed",
)  # fmt: skip


@dataclass(frozen=True)
class Stage:
    """An estate with two workers, and the blows that may fall on it."""

    estate: DemoEstate
    scenario: Scenario
    worker: FatedWorker
    broker_url: str

    def wipe_broker(self) -> None:
        """Every wake-up is gone, and so is every queue that somebody listens to."""
        runner = self.estate.hub.runner
        delete_queues(self.broker_url, {*runner.catalogue.lanes, *runner.lanes})

    def crash_postgres(self) -> None:
        """Every connection breaks; what was committed is there again after recovery."""
        crash(self.estate.folder / "postgres")
        start_again(self.estate.folder / "postgres")

    def kill_server(self) -> None:
        """Whatever the doors had in hand is gone; those who push have no answer."""
        self.estate.server.kill()
        self.estate.server.start()


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """Up once for all plays; only what was killed is started again."""
    with ExitStack() as stack:
        folder = stack.enter_context(server_folder())
        stack.callback(embedded.stop, folder / "postgres")
        url = stack.enter_context(rabbitmq(f"yipan_crash_{os.getpid()}"))
        settings = {**SETTINGS, "YIPAN_BROKER_URL": url}
        estate = stack.enter_context(running_estate(folder, 7, faults={}, settings=settings, work=False))
        fated, _ = (
            stack.enter_context(FatedWorker(estate.command, folder / f"worker{number}.log")) for number in (1, 2)
        )
        place_sites(estate)
        open_sites(estate)
        scenario = Scenario(estate)
        scenario.rest()
        yield Stage(estate, scenario, fated, url)


@pytest.fixture(scope="module")
def undisturbed(stage: Stage) -> Books:
    """Everybody's books after a day on which nothing happened."""
    return stage.scenario.play()


def play_and_die(stage: Stage, commits: int) -> tuple[Books, bool]:
    """Everybody's books, and whether the worker lived to make so many commits."""
    deaths = stage.worker.deaths
    stage.worker.die_after(commits)
    found = stage.scenario.play()
    died = stage.worker.deaths > deaths
    stage.worker.die_after(0)
    return found, died


def test_the_undisturbed_day_is_what_it_claims_to_be(undisturbed: Books) -> None:
    ends = {name: (status, reason) for name, _, _, status, reason in undisturbed["orders"]}
    assert ends == {
        "whole": ("shipped", None),
        "split": ("shipped", None),
        "unfilled": ("cancelled", "no_stock"),
        "refused": ("shipped", None),
        "cancelled": ("cancelled", "cancelled"),
        "recalled": ("shipped", None),
        "till": ("shipped", None),
        "lacking": ("partly_shipped", "no_stock"),
    }
    parcels = {number: (place, status) for number, place, status, *_ in undisturbed["parcels"]}
    assert parcels == {
        "whole-1": ("W-SH", "shipped"),
        "split-1": ("W-SH", "shipped"),
        "split-2": ("W-CD", "shipped"),
        "refused-1": ("W-SH", "refused"),
        "refused-2": ("W-CD", "shipped"),
        "cancelled-1": ("W-SH", "cancelled"),
        "recalled-1": ("W-SH", "cancelled"),
        "recalled-2": ("W-CD", "shipped"),
        "till-1": ("W-GZ", "shipped"),
        "lacking-1": ("W-BJ", "shipped"),
    }
    assert undisturbed["statuses"] == [("till", "SENT")]
    assert undisturbed["quarantine"] == []
    assert {state for *_, state in undisturbed["effects"]} == {"confirmed", "refused"}


def test_every_order_is_in_every_book_once(undisturbed: Books) -> None:
    sent = {number for number, _, status, *_ in undisturbed["parcels"] if status != "refused"}
    assert [number for number, *_ in undisturbed["delivery orders"]] == sorted(sent)
    assert [number for number, *_ in undisturbed["sales orders"]] == sorted(sent)
    at_wms = {(goods, place): int(quantity) for goods, place, quantity, _ in undisturbed["stock of the WMS"]}
    in_hub = {(goods, place): on_hand for goods, place, on_hand, *_ in undisturbed["levels"]}
    assert at_wms == {**in_hub, ("ghost", "W-SH"): 0}


@pytest.mark.parametrize("commits", [30, 75])
def test_a_worker_killed_after_a_commit_changes_nothing(stage: Stage, undisturbed: Books, commits: int) -> None:
    found, died = play_and_die(stage, commits)
    assert died
    assert differences(found, undisturbed) == {}


@pytest.mark.parametrize(
    ("blow", "after"),
    [
        (Stage.wipe_broker, "split order placed"),
        (Stage.crash_postgres, "recalled order placed"),
        (Stage.kill_server, "picking"),
    ],
    ids=["broker wiped", "PostgreSQL crashed", "API killed"],
)
def test_a_blow_in_between_changes_nothing(
    stage: Stage, undisturbed: Books, blow: Callable[[Stage], None], after: str
) -> None:
    found = stage.scenario.play(after=after, blow=lambda: blow(stage))
    assert differences(found, undisturbed) == {}


@pytest.mark.soak
@pytest.mark.timeout(3 * 3600)
def test_a_worker_killed_after_any_commit_changes_nothing(stage: Stage, undisturbed: Books) -> None:
    lived = 0
    for commits in range(1, MOST_COMMITS):
        found, died = play_and_die(stage, commits)
        assert differences(found, undisturbed) == {}, f"commit {commits}"
        lived = 0 if died else lived + 1
        if lived == ENOUGH_LIVED:
            break
    assert commits > 75


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("blow", [Stage.wipe_broker, Stage.crash_postgres, Stage.kill_server])
def test_a_blow_after_any_act_changes_nothing(stage: Stage, undisturbed: Books, blow: Callable[[Stage], None]) -> None:
    for act in ACTS:
        found = stage.scenario.play(after=act, blow=lambda: blow(stage))
        assert differences(found, undisturbed) == {}, f"after {act}"
