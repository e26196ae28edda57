"""The points benchmark asks for what it says: no key twice, nothing refused, and books that can be verified."""

import itertools
from collections import Counter

from benchmarks.points import BRAND, MEMBERS, NOW, OWNER, PLENTY, Load
from canonical_model.ledger import AssetKind, Done
from canonical_model.store import ledger
from flows.runtime.database import Database


def test_no_two_loads_have_a_key_in_common() -> None:
    commands = [command for seed in (1, 2) for command in itertools.islice(Load(1, 2, seed).commands(MEMBERS), 500)]
    assert len({command.key for command in commands}) == 1_000


def test_the_mix_is_what_the_benchmark_says() -> None:
    kinds = Counter(command.kind for command in itertools.islice(Load(1, 2, 1).commands(MEMBERS), 10_000))
    assert [round(kinds[kind] / 10_000, 1) for kind in ("earn", "spend", "exchange")] == [0.5, 0.4, 0.1]


def test_every_command_of_the_mix_is_done(database: Database) -> None:
    with database.unit() as uow:
        stars, leaves = (
            ledger.ensure_asset(uow.connection, OWNER, BRAND, code, AssetKind.POINTS) for code in ("stars", "leaves")
        )
        load = Load(stars, leaves, 1)
        commands = [load.earn("0", PLENTY), *itertools.islice(load.commands(1), 99)]
        answers = ledger.apply(uow.connection, OWNER, BRAND, commands, now=NOW)
    assert all(isinstance(answer, Done) for answer in answers)
