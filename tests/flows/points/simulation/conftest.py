"""``--seed N`` plays one world again; without it the first SEEDS are played."""

import os
from collections.abc import Iterator

import pytest

from flows.runtime.database import Database
from flows.testing.databases import TEMPLATE, clone, drop

SEEDS = 50


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--seed N``: this world only."""
    parser.addoption("--seed", type=int, default=None, help="play this one world of tests/flows/points/simulation")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for a ``seed`` runs once for each."""
    if "seed" in metafunc.fixturenames:
        one = metafunc.config.getoption("--seed", default=None)
        metafunc.parametrize("seed", range(SEEDS) if one is None else [one])


@pytest.fixture(scope="module")
def databases(postgres_18: str) -> Iterator[tuple[Database, Database]]:
    """One to play in, one to play the journal again."""
    names = [f"yipan_points_{os.getpid()}_{part}" for part in ("a", "b")]
    opened = [Database(clone(postgres_18, name, f"{TEMPLATE}_{os.getpid()}"), pool_size=6).open() for name in names]
    yield opened[0], opened[1]
    for name, database in zip(names, opened, strict=True):
        database.close()
        drop(postgres_18, name)
