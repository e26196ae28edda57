"""One seed's world on the real ledger and on the model, compared after every commit; then the journal, played again."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from itertools import zip_longest

from flows.runtime.database import Database
from tests.flows.points.simulation.asks import Ask
from tests.flows.points.simulation.driver import DONE, REPEATED, Driver
from tests.flows.points.simulation.model import Model
from tests.flows.points.simulation.world import GROWTH, HOLDERS, LEAVES, STARS, Generator

SHOWN = 20
THREADS = 3
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
        _check_replay(databases[1], driver, world)


def play_at_once(databases: tuple[Database, Database], seed: int, before: int, each: int) -> None:
    """``before`` asks one after another, then ``each`` transfers in every one of THREADS at the same time.

    The numbers of the transfers are an order in which they could have been made one after another.
    """
    story = Story(seed, "tests/flows/points/simulation/test_ledger_seeds.py")
    with story.told():
        model = Model()
        world = Generator(seed, model)
        driver = Driver(databases[0], f"together-{seed}")
        driver.open()
        for _ in range(before):
            ask = world.next()
            story.tell(f"{world.now:%m-%d %H:%M:%S} {ask}")
            _step(driver, model, world, ask, story)
        plans = world.plans(THREADS, each)
        with ThreadPoolExecutor(THREADS) as pool:
            said = list(pool.map(lambda plan: [driver.at_once(ask, world.now) for ask in plan], plans))
        answers = [answer for plan in said for asked in plan for answer in asked]
        assert {word for word, _ in answers} <= {DONE, REPEATED, "points.insufficient"}
        logged = sorted((each for word, each in answers if word == DONE), key=lambda each: each.number)
        for done in logged:
            story.tell(f"transfer {done.number} {done.ask}")
            assert model.do(done.ask, done.now) == [DONE]
        _compare(driver, model)
        assert len({each.number for each in logged}) == len(logged)
        driver.log += logged
        _check_views(driver, model, world)
        _check_replay(databases[1], driver, world)


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


def _check_replay(database: Database, played: Driver, world: Generator) -> None:
    """The same calls in the same order by the same clocks make the same chain."""
    again = Driver(database, played.owner)
    again.open(like=played)
    again.replay(played.log)
    for was, is_now in zip_longest(played.journal(), again.journal()):
        assert was == is_now, f"the journal, played again, has another entry:\n{is_now}, not\n{was}"
    assert again.head(world.now) == played.head(world.now), "the journal, played again, has another head"
