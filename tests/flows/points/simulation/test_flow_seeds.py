"""Seeded worlds through the real flows: whatever is lost, doubled or late, all books end as a simple model says."""

import os
from collections.abc import Iterator

import pytest

from flows.runtime.bootstrap import build
from flows.runtime.database import Database
from flows.testing.databases import TEMPLATE, clone, drop
from tests.flows.desk import make_settings
from tests.flows.points.simulation.flow_play import play_flows
from tests.flows.points.simulation.rules import RULES
from tests.flows.points.world import Club, estate_text

ROUNDS = 5
AT_LENGTH = 20
MANY_SEEDS = range(1_000, 2_000)


@pytest.fixture(scope="module")
def club(postgres_18: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Club, Database]]:
    """A hub, and a view of its database that nobody's death disturbs."""
    folder = tmp_path_factory.mktemp("seeds")
    name = f"yipan_seeds_{os.getpid()}"
    url = clone(postgres_18, name, f"{TEMPLATE}_{os.getpid()}")
    settings = make_settings(folder, url)
    settings.estate.write_text(estate_text(folder, {}))
    with build(settings) as hub, Database(url, pool_size=4).open() as look:
        look.services, look.flows = hub.database.services, hub.flows
        made = Club(hub)
        made.publish(RULES)
        yield made, look
    drop(postgres_18, name)


def test_all_books_of_a_seeded_world_end_as_the_model_says(club: tuple[Club, Database], seed: int) -> None:
    play_flows(*club, seed, ROUNDS)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_all_books_of_many_seeded_worlds_end_as_the_model_says(club: tuple[Club, Database]) -> None:
    for seed in MANY_SEEDS:
        play_flows(*club, seed, AT_LENGTH)
