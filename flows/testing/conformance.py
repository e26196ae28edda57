"""The suite that every connector inherits. A third party's connector passes the same tests as ours.

    class TestPos(ConnectorConformance):
        connector = "pos"
        secrets = {"access_token": "demo-token"}

        def prepare(self, live): ...             # give the simulator what the rest needs, make it push every stream
        def document(self, live, writer, number): ...   # a canonical document that this writer can send
        def landed(self, live, writer, document): ...   # how often the system's own books hold it

Everything runs against the connector's simulator, a process of its own.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import jmespath
import orjson
import pytest
from jsonschema import Draft202012Validator

from canonical_model.errors import AccessError, LimitError, RecordError, RejectedError, TransientError, UncertainError
from canonical_model.ports import (
    Connector,
    EntityName,
    Idempotency,
    Limits,
    Manifest,
    Page,
    PushRequest,
    Receipt,
    Record,
    StreamSpec,
    WriterSpec,
)
from connectors.kit.documents import extract_records, parse_document
from connectors.kit.manifest import connector_folder, load_manifest, load_schemas
from connectors.kit.quality import quality_problems
from flows.testing import hostile
from flows.testing.live import LiveSystem, live_system
from mappings.contract import load_contract
from mappings.engine import Quarantined, load_mapping
from mappings.examples import ENTITIES, EXAMPLE_CONTEXT, run_examples

NOBODY = "http://127.0.0.1:9"  # the discard port, where nothing listens
MAX_PAGES = 1_000
DIALECT = "https://json-schema.org/draft/2020-12/schema"


class _Declared:
    """What the manifest says, for tests to loop over."""

    connector: ClassVar[str]

    @property
    def manifest(self) -> Manifest:
        return load_manifest(self.connector)

    def pushed(self) -> list[StreamSpec]:
        return [stream for stream in self.manifest.streams if stream.direction == "push"]

    def pulled(self) -> list[StreamSpec]:
        return [stream for stream in self.manifest.streams if stream.direction == "pull"]


class DeclarationConformance(_Declared):
    """The manifest, schemas and mappings by themselves; nothing runs."""

    def test_the_quality_scale_is_settled(self) -> None:
        assert quality_problems(self.manifest) == []

    def test_the_readme_exists(self) -> None:
        assert len((connector_folder(self.connector) / "README.md").read_text(encoding="utf-8")) > 200

    def test_every_schema_is_valid_2020_12(self) -> None:
        for stream, schema in load_schemas(self.connector).items():
            assert schema.get("$schema") == DIALECT, stream
            Draft202012Validator.check_schema(schema)

    def test_every_mapping_fits_and_its_examples_pass(self) -> None:
        for stream in self.manifest.streams:
            mapping = load_mapping(self.connector, stream.mapping)
            assert (mapping.direction, mapping.entity) == ("in", stream.entity), stream.name
            assert run_examples(mapping) == []
            assert any(example.out for example in mapping.examples), f"{stream.mapping} has no good example"
            assert any(example.issues for example in mapping.examples), f"{stream.mapping} has no refused example"
        for writer in self.manifest.writers:
            mapping = load_mapping(self.connector, writer.mapping)
            assert mapping.direction == "out", writer.name
            assert mapping.examples, f"{writer.mapping} has no example"
            assert run_examples(mapping) == []

    def test_good_examples_keep_the_contract_and_are_named_by_the_key(self) -> None:
        schemas = load_schemas(self.connector)
        for stream in self.manifest.streams:
            contract = load_contract(schemas[stream.name])
            for example in load_mapping(self.connector, stream.mapping).examples:
                record = orjson.loads(example.given)
                if example.out:
                    assert contract.check(record) == (), f"{stream.name}: {example.name}"
                    assert jmespath.search(stream.key, record), f"{stream.name}: {example.name} has no {stream.key}"

    def test_deltas_are_named_and_receivers_are_personal(self) -> None:
        for stream in self.manifest.streams:
            mapped = [
                orjson.loads(example.out)
                for example in load_mapping(self.connector, stream.mapping).examples
                if example.out
            ]
            if stream.entity is EntityName.STOCK and any(value["kind"] == "delta" for value in mapped):
                assert stream.requires_message_key, f"{stream.name} sends deltas; a repeated one must be recognised"
            if any("receiver" in value or "mobile" in value for value in mapped):
                assert stream.personal, f"{stream.name} names people; list the personal fields"

    def test_nonsense_becomes_issues_and_never_an_exception(self) -> None:
        for stream in self.manifest.streams:
            contract = load_contract(load_schemas(self.connector)[stream.name])
            assert all(contract.check(record) for record in hostile.RECORDS), stream.name
            mapped = load_mapping(self.connector, stream.mapping).map_many(hostile.RECORDS, EXAMPLE_CONTEXT)
            assert all(isinstance(result, Quarantined) and result.issues for result in mapped), stream.name

    def test_hostile_bodies_are_refused(self) -> None:
        for name, (media_type, body) in hostile.BODIES.items():
            with pytest.raises((RecordError, LimitError)) as caught:
                parse_document(body, media_type, limits=self.manifest.limits)
            assert caught.value.code.startswith(("document.", "limit")), name

    def test_a_body_over_the_limit_is_refused(self) -> None:
        limits = self.manifest.limits.model_copy(update={"body_bytes": 10})
        for media_type in ("application/json", "application/xml", "text/csv", "application/x-ndjson"):
            with pytest.raises(LimitError):
                parse_document(b" " * 11, media_type, limits=limits)


class ConnectorConformance(DeclarationConformance):
    """Everything a connector promises. Set ``connector`` and what its ``auth`` needs; write the three hooks."""

    settings: ClassVar[Mapping[str, str]] = {}
    secrets: ClassVar[Mapping[str, str]] = {}
    simulator_settings: ClassVar[Mapping[str, str]] = {}

    def prepare(self, live: LiveSystem) -> None:
        """Give the simulator what the tests need and make it push every pushed stream."""

    def document(self, live: LiveSystem, writer: str, number: int) -> Record:
        """A canonical document that ``writer`` can send; every ``number`` gives another."""
        raise NotImplementedError(f"give a document for {writer}")

    def refused(self, live: LiveSystem, writer: str) -> Record:
        """A canonical document that the system refuses."""
        raise NotImplementedError(f"give a document that {writer} is refused")

    def landed(self, live: LiveSystem, writer: str, document: Record) -> int:
        """How often the document is in the system's own books."""
        raise NotImplementedError(f"count what {writer} wrote")

    def away(self, live: LiveSystem) -> Connector:
        """The same connector, pointed where nothing listens."""
        return live.elsewhere(NOBODY)

    def signed(self, live: LiveSystem, push: PushRequest) -> PushRequest:
        """The same push signed afresh at its ``received_at``; only for systems that sign."""
        raise NotImplementedError("sign a push")

    @pytest.fixture(scope="class")
    @classmethod
    def live(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSystem]:
        """The simulator, prepared, and the connector that talks to it."""
        with cls._system(tmp_path_factory.mktemp(cls.connector) / "books.db", faults={}) as live:
            cls().prepare(live)
            yield live

    def test_what_is_pushed_is_understood(self, live: LiveSystem) -> None:
        """Every pushed stream arrives, and each record keeps the contract and becomes a canonical entity."""
        live.wait_until_pushed()
        for stream in self.pushed():
            pushes = [push for push in live.hub.pushes if push.stream == stream.name]
            assert pushes, f"prepare() made the simulator push no {stream.name}"
            for push in pushes:
                self._understood(live, stream, _records(self.manifest, stream, push))

    def test_a_pushed_message_names_itself(self, live: LiveSystem) -> None:
        live.wait_until_pushed()
        for push in live.hub.pushes:
            stream = self.manifest.stream(push.stream)
            assert stream is not None
            assert _message_key(self.manifest, stream, push), f"{stream.name}: no Idempotency-Key, no message_key"

    def test_pushes_survive_broken_and_doubled_sending_and_kill_9(self, tmp_path: Path) -> None:
        """With every fault on, everything arrives whole, and a key never stands for two bodies."""
        with self._system(tmp_path / "books.db", faults={"duplicate": 1, "malformed": 1}) as live:
            self.prepare(live)
            live.simulator.kill()
            live.simulator.start()
            live.wait_until_pushed()
            for stream in self.pushed():
                whole = [push for push in live.hub.pushes if push.stream == stream.name and _is_whole(stream, push)]
                assert whole, f"no {stream.name} arrived"
                bodies = {_message_key(self.manifest, stream, push): push.body for push in whole}
                assert all(bodies[_message_key(self.manifest, stream, push)] == push.body for push in whole)

    def test_pages_end_and_go_on_from_a_cursor(self, live: LiveSystem) -> None:
        for stream in self.pulled():
            pages = _all_pages(stream, live.connector.readers[stream.name].pages(None))
            self._understood(live, stream, [record for page in pages for record in page.records])
            if len(pages) > 1:
                rest = _all_pages(stream, live.connector.readers[stream.name].pages(pages[0].cursor))
                keys = [jmespath.search(stream.key, r) for page in rest for r in page.records]
                assert keys == [jmespath.search(stream.key, r) for page in pages[1:] for r in page.records]

    def test_a_system_that_is_away_is_asked_again_later(self, live: LiveSystem) -> None:
        away = self.away(live)
        for stream in self.pulled():
            with pytest.raises(TransientError):
                _all_pages(stream, away.readers[stream.name].pages(None))
        for writer, document in self._documents(live, 10):
            with pytest.raises(TransientError):
                away.writers[writer.name].write("away", live.outward(writer.name, document))

    def test_a_write_lands_once_and_is_found(self, live: LiveSystem) -> None:
        for writer, document in self._documents(live, 20):
            receipt = live.write(writer.name, f"once-{writer.name}", document)
            assert receipt.outside_id
            assert self.landed(live, writer.name, document) == 1
            self._assert_found(live, writer, f"once-{writer.name}", receipt)

    def test_a_key_that_was_never_sent_is_not_found(self, live: LiveSystem) -> None:
        for writer in self.manifest.writers:
            if writer.idempotency is Idempotency.READ_BACK:
                assert live.connector.writers[writer.name].find("never-sent") is None

    def test_a_repeated_key_lands_once(self, live: LiveSystem) -> None:
        for writer, document in self._documents(live, 30):
            first = live.write(writer.name, f"twice-{writer.name}", document)
            second = self._again(live, writer, f"twice-{writer.name}", document)
            assert second.outside_id == first.outside_id
            assert self.landed(live, writer.name, document) == 1

    def test_a_lost_answer_is_a_question_that_has_an_answer(self, live: LiveSystem) -> None:
        for writer, document in self._documents(live, 40):
            key = f"lost-{writer.name}"
            with live.faults(drop_answer=1):
                self._unanswered(live, writer, key, document)
            receipt = self._again(live, writer, key, document)
            assert receipt.outside_id
            assert self.landed(live, writer.name, document) == 1

    def test_a_server_error_is_a_question_too(self, live: LiveSystem) -> None:
        for writer, document in self._documents(live, 50):
            key = f"failed-{writer.name}"
            with live.faults(error500=1):
                self._unanswered(live, writer, key, document)
            assert self.landed(live, writer.name, document) == 0
            assert self._again(live, writer, key, document).outside_id
            assert self.landed(live, writer.name, document) == 1

    def test_a_refusal_is_final_and_nothing_lands(self, live: LiveSystem) -> None:
        for writer in self.manifest.writers:
            document = self.refused(live, writer.name)
            with pytest.raises(RejectedError) as caught:
                live.write(writer.name, f"refused-{writer.name}", document)
            assert not isinstance(caught.value, AccessError | RecordError)
            assert self.landed(live, writer.name, document) == 0

    def test_what_landed_survives_kill_9(self, live: LiveSystem) -> None:
        written = [(writer, document) for writer, document in self._documents(live, 60)]
        receipts = [live.write(writer.name, f"kept-{writer.name}", document) for writer, document in written]
        live.simulator.kill()
        live.simulator.start()
        for (writer, document), receipt in zip(written, receipts, strict=True):
            assert self.landed(live, writer.name, document) == 1
            self._assert_found(live, writer, f"kept-{writer.name}", receipt)

    def test_only_the_system_itself_is_let_in(self, live: LiveSystem) -> None:
        """An absent, wrong, stale or transplanted signature is refused, and so is a changed body."""
        door = live.connector.door
        if door is None:
            return
        live.wait_until_pushed()
        push = next(push for push in live.hub.pushes)
        other = next(stream.name for stream in self.pushed() if stream.name != push.stream)
        good = self.signed(live, push)
        door.verify(good)
        for change in (_unsigned, _wrongly_signed, _changed, _for_stream(other)):
            with pytest.raises(AccessError):
                door.verify(change(good))
        yesterday = self.signed(live, replace(push, received_at=push.received_at - timedelta(days=1)))
        with pytest.raises(AccessError):
            door.verify(replace(yesterday, received_at=push.received_at))
        assert (
            door.reply(accepted=True, code="", detail="").body
            != door.reply(accepted=False, code="wrong", detail="no").body
        )

    def test_secrets_stay_secret(self, live: LiveSystem, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        said = [repr(live.config), repr(live.connector)]
        for writer in self.manifest.writers:
            with pytest.raises(RejectedError) as caught:
                live.write(writer.name, f"secret-{writer.name}", self.refused(live, writer.name))
            said += [repr(caught.value), str(caught.value), repr(caught.value.context)]
        said.append(caplog.text)
        for name, secret in self.secrets.items():
            assert not any(secret in text for text in said), f"{name} was said"

    @classmethod
    def _system(cls, books: Path, faults: Mapping[str, float]) -> AbstractContextManager[LiveSystem]:
        return live_system(
            cls.connector,
            books,
            settings=cls.settings,
            secrets=cls.secrets,
            simulator_settings={**cls.secrets, **cls.simulator_settings},
            faults=faults,
        )

    def _documents(self, live: LiveSystem, first: int) -> Iterator[tuple[WriterSpec, Record]]:
        for offset, writer in enumerate(self.manifest.writers):
            yield writer, self.document(live, writer.name, first + offset)

    def _unanswered(self, live: LiveSystem, writer: WriterSpec, key: str, document: Record) -> None:
        """A write that gets no answer is uncertain; it may be transient only where a read before it failed."""
        with pytest.raises((UncertainError, TransientError)) as caught:
            live.write(writer.name, key, document)
        if isinstance(caught.value, TransientError):
            with live.faults(drop_answer=0, error500=0):
                assert self.landed(live, writer.name, document) == 0

    def _again(self, live: LiveSystem, writer: WriterSpec, key: str, document: Record) -> Receipt:
        """What the runtime does when it does not know: by the writer's declared idempotency."""
        found = None
        if writer.idempotency is Idempotency.READ_BACK:
            found = live.connector.writers[writer.name].find(key)
        return found or live.write(writer.name, key, document)

    def _assert_found(self, live: LiveSystem, writer: WriterSpec, key: str, receipt: Receipt) -> None:
        if writer.idempotency is Idempotency.READ_BACK:
            found = live.connector.writers[writer.name].find(key)
            assert found is not None
            assert found.outside_id == receipt.outside_id

    def _understood(self, live: LiveSystem, stream: StreamSpec, records: list[Any]) -> None:
        contract = load_contract(live.connector.schemas[stream.name])
        assert contract.check_many(records) == [()] * len(records), stream.name
        for value in load_mapping(self.connector, stream.mapping).map_many(records, live.context):
            assert not isinstance(value, Quarantined), f"{stream.name}: {value}"
            ENTITIES[stream.entity].model_validate(value)


def _records(manifest: Manifest, stream: StreamSpec, push: PushRequest) -> list[Any]:
    media_type = push.headers["content-type"]
    document = parse_document(push.body, media_type, limits=manifest.limits, lists=stream.lists)
    return extract_records(document, stream.records, limits=manifest.limits)


def _message_key(manifest: Manifest, stream: StreamSpec, push: PushRequest) -> Any:
    if push.headers.get("idempotency-key") or stream.message_key is None:
        return push.headers.get("idempotency-key") or not stream.requires_message_key
    media_type = push.headers["content-type"]
    document = parse_document(push.body, media_type, limits=manifest.limits, lists=stream.lists)
    return jmespath.search(stream.message_key, document)


def _is_whole(stream: StreamSpec, push: PushRequest) -> bool:
    try:
        parse_document(push.body, push.headers["content-type"], limits=Limits(), lists=stream.lists)
    except RecordError:
        return False
    return True


def _all_pages(stream: StreamSpec, pages: Iterator[Page]) -> list[Page]:
    found = []
    for page in pages:
        found.append(page)
        assert len(found) <= MAX_PAGES, "the pages do not end"
    if stream.cursor is None:
        assert found[-1].cursor is None, "the last page has a cursor, and the manifest declares none"
    else:
        assert found[-1].cursor is not None, f"{stream.name} goes on from {stream.cursor}, but forgets it at the end"
    return found


def _unsigned(push: PushRequest) -> PushRequest:
    return replace(push, query={}, headers={})


def _wrongly_signed(push: PushRequest) -> PushRequest:
    return replace(
        push,
        query={name: value[::-1] for name, value in push.query.items()},
        headers={name: value[::-1] for name, value in push.headers.items()},
    )


def _changed(push: PushRequest) -> PushRequest:
    return replace(push, body=push.body + b" ")


def _for_stream(stream: str) -> Callable[[PushRequest], PushRequest]:
    return lambda push: replace(push, stream=stream)
