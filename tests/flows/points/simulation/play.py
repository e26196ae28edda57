"""One seed's world on the real ledger and on the model, compared after every commit; then the journal, played again."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from flows.runtime.database import Database
from tests.flows.points.simulation.asks import Ask
from tests.flows.points.simulation.driver import Driver
from tests.flows.points.simulation.model import Model
from tests.flows.points.simulation.world import GROWTH, HOLDERS, LEAVES, STARS, Generator

SHOWN = 20
CRASHES = 0.08
SEALS = 0.08


class Story:
    """The last things that happened, to be told with a failure."""

    def __init__(self, seed: int, test: str) -> None:
        self._command = f"pytest {test} --seed {seed} --timeout 600"
        self._events: deque[str] = deque(maxlen=SHOWN)
        self._count = 0

    def tell(self, event: object) -> None:
        self._count += 1
        self._events.append(f"{self._count:4} {event}")

    @contextmanager
    def told(self) -> Iterator[None]:
        """Whatever goes wrong inside says how to see it again, and what led to it."""
        try:
            yield
        except Exception as error:
            events = "\n".join(self._events)
            raise AssertionError(f"{error}\n\nthe last events:\n{events}\n\nagain: {self._command}") from error


def play(databases: tuple[Database, Database], seed: int, events: int) -> None:
    """``events`` asks of the seed's world."""
    story = Story(seed, "tests/flows/points/simulation/test_ledger_seeds.py")
    with story.told():
        model = Model()
        world = Generator(seed, model)
        driver = Driver(databases[0], f"seed-{seed}")
        driver.open()
        for _ in range(events):
            ask = world.next()
            story.tell(f"{world.now:%m-%d %H:%M:%S} {ask}")
            _step(driver, model, world, ask, story)
        _check_views(driver, model, world)


def _step(driver: Driver, model: Model, world: Generator, ask: Ask, story: Story) -> None:
    now = world.now
    if world.dice.random() < CRASHES:
        driver.do(ask, now, crash=True)
        story.tell("     ... was lost before its commit")
        _compare(driver, model)
    said = driver.do(ask, now)
    wanted = model.do(ask, now)
    assert said == wanted, f"the ledger says {said}, the model {wanted}"
    _compare(driver, model)
    if world.dice.random() < SEALS:
        driver.seal(now, limit=world.dice.choice([1, 5, 1_000]))


def _compare(driver: Driver, model: Model) -> None:
    different = driver.books().differences(model.books())
    assert not different, "\n".join(["the books, not the model:", *different])


def _check_views(driver: Driver, model: Model, world: Generator) -> None:
    for asset in (STARS, LEAVES, GROWTH):
        assert driver.statement(asset) == model.statement(asset)
        for holder in HOLDERS:
            for at in (world.now, world.now + timedelta(days=7)):
                balance = driver.balance(asset, holder, at)
                found = (balance.available, balance.arrears)
                assert found == (model.available(asset, holder, at), model.owed(asset, holder)), (asset, holder, at)
    driver.head(world.now)
