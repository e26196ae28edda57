"""An outside write happens once, whatever is lost on the way; the ledger knows what is not known."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from canonical_model.errors import ConflictError, NotFoundError, RejectedError
from canonical_model.ports import Receipt, Record
from flows.runtime import runs
from flows.runtime.database import UnitOfWork
from flows.runtime.flow import Flow, Goto, OnReject, Park, Run, outside, step
from flows.runtime.runner import Runner
from flows.runtime.sealing import Vault
from flows.runtime.services import Services
from tests.flows.runtime.conftest import World, note


def _sending(writer: str, **options: Any) -> Any:
    @outside(f"books.{writer}", **{"name": "send", **options})
    def send(run: Run, uow: UnitOfWork) -> Record:
        return {"attempt": run.attempt, "input": dict(run.input)}

    return send


def _prepare(run: Run, uow: UnitOfWork) -> int:
    note(run, uow, "prepare")
    return 1


def _unprepare(run: Run, uow: UnitOfWork) -> None:
    note(run, uow, "undo prepare")


prepare = step(name="prepare", undo=_unprepare)(_prepare)


def _flow(writer: str, *more: Any, **options: Any) -> Flow:
    return Flow(f"test.{writer}", 1, (prepare, _sending(writer, **options), *more))


@pytest.mark.every_postgres
@pytest.mark.parametrize("writer", ["once", "seen", "blind"])
def test_a_write_lands_once_and_its_receipt_is_the_result(world: World, writer: str) -> None:
    flow = _flow(writer)
    runner = world.runner(flow)
    world.start(flow, "plain")
    world.finish(runner)
    path = f"/{writer}/test.{writer}:plain:send"
    assert world.run("plain")["results"]["send"] == {"outside_id": f"{path}#1", "detail": {"status": 201}}
    assert world.landed(path) == [path]
    assert world.effects("plain") == [(f"test.{writer}:plain:send", "confirmed")]


@pytest.mark.parametrize(("writer", "fault"), [(w, f) for w in ("once", "seen") for f in ("drop", "cut")])
def test_a_lost_answer_is_a_question_that_answers_itself(world: World, writer: str, fault: str) -> None:
    flow = _flow(writer)
    runner = world.runner(flow)
    world.destination.arm((f"{fault}1", fault, 2))
    world.start(flow, f"{fault}1")
    world.finish(runner)
    assert world.state(f"{fault}1") == "done"
    assert len(world.landed(f"/{writer}/test.{writer}:{fault}1:")) == 1


def test_a_read_back_that_finds_it_does_not_send_again(world: World) -> None:
    flow = _flow("seen")
    runner = world.runner(flow)
    world.destination.arm(("found", "drop", 1))
    before = world.destination.calls()
    world.start(flow, "found")
    world.finish(runner)
    assert world.destination.calls() == before + 1


@pytest.mark.parametrize("landed", [True, False])
def test_without_a_way_to_ask_a_person_settles_the_doubt(world: World, landed: bool) -> None:
    flow = _flow("blind")
    runner = world.runner(flow)
    key = f"doubt {landed}"
    world.destination.arm((key, "drop" if landed else "cut", 1))
    (run_id,) = world.start(flow, key)
    world.finish(runner)
    assert (world.state(key), world.run(key)["error"]["code"]) == ("parked", "effect.in_doubt")
    with world.database.unit() as uow:
        (effect,) = runs.list_effects(uow, run_id)
        assert effect["state"] == "in_doubt"
        runs.settle_effect(uow, effect["id"], landed=landed, outside_id="B-7" if landed else None)
        uow.commit()
    world.finish(runner)
    assert world.state(key) == "done"
    assert len(world.landed(f"/blind/test.blind:{key}:")) == 1
    if landed:
        assert world.run(key)["results"]["send"]["outside_id"] == "B-7"


def test_retrying_a_doubt_without_settling_it_asks_again(world: World) -> None:
    flow = _flow("blind")
    runner = world.runner(flow)
    world.destination.arm(("again", "drop", 1))
    (run_id,) = world.start(flow, "again")
    world.finish(runner)
    with world.database.unit() as uow:
        runs.retry(uow, run_id)
        uow.commit()
    world.finish(runner)
    assert world.state("again") == "parked"
    assert len(world.landed("/blind/test.blind:again:")) == 1


@pytest.mark.parametrize(("writer", "state"), [("once", "done"), ("seen", "done"), ("blind", "parked")])
@pytest.mark.parametrize("landed", [True, False])
def test_a_worker_that_dies_between_intended_and_confirmed_leaves_a_doubt(
    world: World, writer: str, state: str, landed: bool
) -> None:
    flow = _flow(writer)
    runner = world.runner(flow)
    key = f"died {landed}"
    world.start(flow, key)

    def die() -> None:
        if world.look.run("SELECT 1 FROM effect WHERE state = 'intended'"):
            world.database.on_commit = None
            if landed:
                world.destination.writer(f"books.{writer}").write(f"test.{writer}:{key}:send", {})
            raise KeyboardInterrupt

    world.database.on_commit = die
    with pytest.raises(KeyboardInterrupt):
        runner.drain()
    world.look.run("UPDATE flow_run SET lease_until = clock_timestamp() WHERE state = 'running'")
    world.finish(world.runner(flow))
    assert world.state(key) == state
    expected = 1 if landed or state == "done" else 0
    assert len(world.landed(f"/{writer}/test.{writer}:{key}:")) == expected


def test_every_try_sends_the_same_body(world: World) -> None:
    flow = _flow("once")
    runner = world.runner(flow)
    world.destination.arm(("same", "busy", 3))
    world.start(flow, "same")
    world.finish(runner)
    (documents,) = [found for path, found in world.destination.documents().items() if ":same:" in path]
    assert documents == [{"attempt": 1, "input": {}}]


def test_a_transient_failure_is_certainly_not_landed(world: World) -> None:
    flow = _flow("blind")
    runner = world.runner(flow)
    world.destination.arm(("busy", "busy", 1))
    world.start(flow, "busy")
    runner.drain()
    assert world.effects("busy") == [("test.blind:busy:send", "failed")]
    world.finish(runner)
    assert world.state("busy") == "done"


def test_a_refused_write_gives_the_choice_back_to_the_parent(world: World) -> None:
    flow = _flow("once", on_reject=OnReject.RESOURCE)
    runner = world.runner(flow)
    world.destination.arm(("refused", "refuse", 1))
    world.start(flow, "refused")
    world.finish(runner)
    run = world.run("refused")
    assert (run["state"], run["outcome"]) == ("undone", "refused")
    assert run["results"]["error"] == {
        "step": "send",
        "code": "books.refused",
        "detail": "the books refuse",
        "recovery": "reject",
    }
    assert world.deeds("refused") == ["prepare", "undo prepare"]
    assert world.effects("refused") == [("test.once:refused:send", "refused")]


def test_a_refused_write_that_parked_is_built_anew_when_a_person_lets_it_go_on(world: World) -> None:
    flow = _flow("once")
    runner = world.runner(flow)
    world.destination.arm(("credit", "refuse", 1))
    (run_id,) = world.start(flow, "credit", input={"limit": 1})
    world.finish(runner)
    assert world.state("credit") == "parked"
    world.database.run("UPDATE flow_run SET input = '{\"limit\": 2}'")
    with world.database.unit() as uow:
        runs.retry(uow, run_id)
        uow.commit()
    world.finish(runner)
    (documents,) = [found for path, found in world.destination.documents().items() if ":credit:" in path]
    assert documents == [{"attempt": 1, "input": {"limit": 2}}]


def test_an_undone_write_is_taken_back_under_its_own_key(world: World) -> None:
    @outside("books.once")
    def take_back(run: Run, uow: UnitOfWork) -> Record:
        return {"cancels": run.results["send"]["outside_id"]}

    @step(on_reject=OnReject.UNDO)
    def refuse(run: Run, uow: UnitOfWork) -> None:
        raise RejectedError("no")

    flow = _flow("once", refuse, undo_outside=take_back)
    runner = world.runner(flow)
    world.destination.arm((":undo", "drop", 1))
    world.start(flow, "back")
    world.finish(runner)
    assert world.state("back") == "undone"
    assert world.effects("back") == [("test.once:back:send", "confirmed"), ("test.once:back:send:undo", "confirmed")]
    assert world.landed(":back:send:undo") == ["/once/test.once:back:send:undo"]
    assert world.deeds("back") == ["prepare", "undo prepare"]


def test_an_undo_that_is_refused_asks_a_person(world: World) -> None:
    take_back = outside("books.once", name="take_back")(lambda run, uow: {})

    @step(on_reject=OnReject.UNDO)
    def refuse(run: Run, uow: UnitOfWork) -> None:
        raise RejectedError("no")

    flow = _flow("once", refuse, undo_outside=take_back)
    runner = world.runner(flow)
    world.destination.arm((":undo", "refuse", 1))
    world.start(flow, "picked")
    world.finish(runner)
    assert (world.state("picked"), world.run("picked")["direction"]) == ("parked", "undo")
    assert world.deeds("picked") == ["prepare"]


def test_a_goto_gives_the_write_a_new_key_each_round(world: World) -> None:
    rounds = iter([Goto("prepare"), Goto("send"), "enough"])
    again = step(name="again")(lambda run, uow: next(rounds))
    flow = _flow("once", again)
    runner = world.runner(flow)
    world.start(flow, "round")
    world.finish(runner)
    assert [key for key, _ in world.effects("round")] == [
        "test.once:round:send",
        "test.once:round:send#2",
        "test.once:round:send#3",
    ]
    assert len(world.landed(":round:")) == 3


def test_a_person_who_restarts_at_an_earlier_step_does_not_send_again(world: World) -> None:
    park = [True]

    @step(attempts=1)
    def later(run: Run, uow: UnitOfWork) -> None:
        if park:
            park.clear()
            raise ValueError("bug")

    flow = _flow("once", later)
    runner = world.runner(flow)
    (run_id,) = world.start(flow, "restart")
    world.finish(runner)
    with world.database.unit() as uow:
        runs.retry(uow, run_id, step="prepare")
        uow.commit()
    world.finish(runner)
    assert world.state("restart") == "done"
    assert world.deeds("restart") == ["prepare", "prepare"]
    assert world.effects("restart") == [("test.once:restart:send", "confirmed")]


def test_a_step_that_stumbles_over_the_answer_does_not_send_again(world: World) -> None:
    stumbles = [True]

    def answered(run: Run, uow: UnitOfWork, receipt: Receipt) -> str:
        note(run, uow, "answered")
        if stumbles:
            stumbles.clear()
            raise KeyError("bug")
        return receipt.outside_id

    flow = _flow("blind", answered=answered)
    runner = world.runner(flow)
    world.start(flow, "stumble")
    world.finish(runner)
    assert world.state("stumble") == "done"
    assert world.deeds("stumble") == ["prepare", "answered"]
    assert len(world.landed(":stumble:")) == 1


def test_no_writer_skips_the_step(world: World) -> None:
    skipped = outside(lambda run, uow: None, name="send")(lambda run, uow: {})
    flow = Flow("test.skip", 1, (skipped, prepare))
    runner = world.runner(flow)
    world.start(flow, "k")
    world.finish(runner)
    assert world.run("k")["results"] == {"send": None, "prepare": 1}
    assert world.effects("k") == []


def test_a_writer_may_be_chosen_by_the_run(world: World) -> None:
    chosen = outside(lambda run, uow: f"books.{run.input['writer']}", name="send")(lambda run, uow: {})
    flow = Flow("test.choice", 1, (prepare, chosen))
    runner = world.runner(flow)
    world.start(flow, "choice 1", input={"writer": "once"})
    world.start(flow, "choice 2", input={"writer": "seen"})
    world.finish(runner)
    assert world.landed("choice") == ["/once/test.choice:choice 1:send", "/seen/test.choice:choice 2:send"]


def test_a_writer_that_is_not_connected_asks_a_person(world: World) -> None:
    missing = outside("nobody.write", name="send")(lambda run, uow: {})
    flow = Flow("test.missing", 1, (prepare, missing))

    def no_writer(name: str) -> Any:
        raise NotFoundError(f"there is no writer {name!r}")

    runner = Runner(world.database, {flow.name: flow}, no_writer)
    world.start(flow, "k")
    world.finish(runner)
    assert (world.state("k"), world.run("k")["error"]["code"]) == ("parked", "writer.unknown")


def test_a_settled_effect_cannot_be_settled_again(world: World) -> None:
    flow = _flow("once")
    runner = world.runner(flow)
    (run_id,) = world.start(flow, "settled")
    world.finish(runner)
    with world.database.unit() as uow, pytest.raises(ConflictError):
        runs.settle_effect(uow, runs.list_effects(uow, run_id)[0]["id"], landed=True, outside_id="x")


def test_a_write_that_may_be_on_its_way_is_not_looked_for_too_early(world: World) -> None:
    """A worker died during the call: what it sent may land a little later, and must not be sent again before."""
    flow = _flow("seen")
    runner = world.runner(flow)
    world.start(flow, "soon")
    runner.work("local")
    (claimed,) = world.look.run(
        "SELECT id, fence FROM flow_claim_slot('books.seen', 'dies', -1, 1, ARRAY['test.seen@1'], 3, 4, 0)"
    )
    world.look.run(
        "SELECT effect_intend(%s, %s, 'send', 'books', 'seen', 'test.seen:soon:send', '{}', NULL, NULL)",
        (claimed["id"], claimed["fence"]),
    )
    world.look.run("UPDATE effect SET intended_at = intended_at + interval '1 hour'")
    runner.drain()
    assert (world.state("soon"), world.destination.calls()) == ("ready", 0)
    assert world.run("soon")["error"]["code"] == "effect.under_way"
    world.look.run("UPDATE effect SET intended_at = intended_at - interval '2 hours'")
    world.finish(runner)
    assert world.landed(":soon:") == ["/seen/test.seen:soon:send"]


@pytest.fixture
def vault(world: World) -> Vault:
    made = Vault(b"k" * 32)
    world.database.services = cast(Services, SimpleNamespace(vault=made))
    return made


def test_the_ledger_keeps_bodies_sealed(world: World, vault: Vault) -> None:
    flow = _flow("once")
    runner = world.runner(flow)
    world.destination.arm(("sealed", "busy", 1))
    world.start(flow, "sealed", input={"receiver": "Zhang San"})
    world.finish(runner)
    (effect,) = world.look.run("SELECT body, body_key_id FROM effect")
    assert b"Zhang" not in bytes(effect["body"])
    with world.database.unit() as uow:
        assert b"Zhang San" in vault.open(uow.connection, effect["body_key_id"], effect["body"])
    (documents,) = world.destination.documents().values()
    assert documents[0]["input"] == {"receiver": "Zhang San"}


def test_a_body_may_be_sealed_under_the_key_of_its_person(world: World, vault: Vault) -> None:
    with world.database.unit() as uow:
        person = vault.seal(uow.connection, b"Zhang San", subject="token")
        uow.commit()
    flow = _flow("once", data_key=lambda run, uow: person.key_id)
    runner = world.runner(flow)
    world.destination.arm(("erased", "busy", 1))
    world.start(flow, "erased", input={"receiver": "Zhang San"})
    runner.drain()
    with world.database.unit() as uow:
        vault.destroy(uow.connection, "token")
        uow.commit()
    world.finish(runner)
    assert (world.state("erased"), world.run("erased")["error"]["code"]) == ("parked", "effect.erased")
    assert world.landed(":erased:") == []


def test_a_cancelled_run_finishes_the_write_it_is_in_and_takes_it_back(world: World) -> None:
    take_back = outside("books.once", name="take_back")(lambda run, uow: {})
    flow = _flow("once", undo_outside=take_back)
    runner = world.runner(flow)
    world.destination.arm((":send", "drop", 1))
    (run_id,) = world.start(flow, "cancelled")
    runner.drain()
    with world.database.unit() as uow:
        runs.cancel(uow, run_id)
        uow.commit()
    world.finish(runner)
    assert world.state("cancelled") == "undone"
    assert world.landed(":cancelled:") == [
        "/once/test.once:cancelled:send",
        "/once/test.once:cancelled:send:undo",
    ]


def test_a_run_restarted_at_an_earlier_step_and_then_cancelled_takes_its_write_back(world: World) -> None:
    take_back = outside("books.once", name="take_back")(lambda run, uow: {})
    park = step(name="park")(lambda run, uow: Park("asked", "say yes"))
    flow = Flow("test.again", 1, (prepare, _sending("once", undo_outside=take_back), park))
    runner = world.runner(flow)
    (run_id,) = world.start(flow, "again")
    world.finish(runner)
    with world.database.unit() as uow:
        runs.retry(uow, run_id, "prepare")
        runs.cancel(uow, run_id)
        uow.commit()
    world.finish(runner)
    assert world.effects("again")[-1] == ("test.again:again:send:undo", "confirmed")
