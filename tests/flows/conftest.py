"""Hubs on real databases, each with a desk to send from."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.runtime.bootstrap import build
from flows.runtime.settings import Settings
from flows.testing.databases import TEMPLATE, clone, drop
from tests.flows.desk import Desk, make_settings, stock_up


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return make_settings(tmp_path, database_url)


@pytest.fixture
def desk(settings: Settings) -> Iterator[Desk]:
    with build(settings) as hub:
        yield Desk(hub)


@pytest.fixture(scope="module")
def shared(postgres_18: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A stocked desk that the cases of one module share; they may only look at their own message."""
    name = f"yipan_shared_{os.getpid()}"
    url = clone(postgres_18, name, f"{TEMPLATE}_{os.getpid()}")
    with build(make_settings(tmp_path_factory.mktemp("shared"), url)) as hub:
        yield stock_up(Desk(hub))
    drop(postgres_18, name)


@pytest.fixture
def stocked(desk: Desk) -> Desk:
    return stock_up(desk)
