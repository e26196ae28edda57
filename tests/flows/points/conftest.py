"""A hub whose providers and suppliers run, shared by the tests of a module: each has its own members."""

import os
from collections.abc import Iterator

import pytest

from flows.runtime.bootstrap import build
from flows.runtime.settings import Settings
from flows.testing.databases import TEMPLATE, clone, drop
from tests.flows.desk import make_settings
from tests.flows.points.world import SIMULATORS, Club, estate_text, running


@pytest.fixture(scope="module")
def opened(postgres_18: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Club]:
    folder = tmp_path_factory.mktemp("club")
    name = f"yipan_club_{os.getpid()}"
    url = clone(postgres_18, name, f"{TEMPLATE}_{os.getpid()}")
    with running(folder, *SIMULATORS) as simulators:
        settings: Settings = make_settings(folder, url).model_copy(update={"lease_s": 1.0})
        settings.estate.write_text(estate_text(folder, simulators))
        with build(settings) as hub:
            club = Club(hub, simulators)
            club.publish()
            yield club
    drop(postgres_18, name)


@pytest.fixture
def club(opened: Club) -> Iterator[Club]:
    """At the end of the test no simulator misbehaves, and the books are sound."""
    yield opened
    for system in SIMULATORS:
        opened.tell(system, "/_faults", dict.fromkeys(("drop_answer", "error500"), 0.0), "PUT")
    opened.sound()
