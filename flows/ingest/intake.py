"""One stream, compiled: its contract, its mapping and its canonical check, from raw records to canonical values."""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import jmespath
import orjson
from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.errors import Issue
from canonical_model.member import is_mobile
from canonical_model.ports import Connector, EntityName, StreamSpec
from canonical_model.ports import Contract as Policy
from flows.ingest.batch import Batch, Outcome, Refusal
from flows.ingest.canonical import ENTITIES, Check, Value, checker
from flows.ingest.telling import tells
from flows.runtime import revisions
from flows.runtime.revisions import Place
from mappings.contract import UNKNOWN_FIELD, Contract, apply_policy, load_contract
from mappings.engine import MapContext, Mapping, Quarantined, load_mapping

MAX_SOURCE_ID: Final = 200
MAX_INDEX: Final = 5
HIDDEN: Final = "the value is personal and not shown here; correct it at the source"
UNNAMED: Final = "•••"
_PART: Final = re.compile(r"[^.\[\]]+")


@dataclass(frozen=True, slots=True)
class Intake:
    """How records of one stream become canonical. ``key`` is the compiled path to the record's own name.

    ``personal``: the compiled paths of its personal fields. ``words``: every name that a field of it may have.
    ``discreet``: what comes of a record is told to somebody who may not see what is personal in it.
    """

    connector: Connector
    spec: StreamSpec
    contract: Contract
    mapping: Mapping
    check: Check
    key: Any
    personal: tuple[Any, ...] = ()
    words: frozenset[str] = frozenset()
    discreet: bool = False

    def source_id(self, record: Any) -> str | None:
        """The record's own name at the source, if it can be read and says nothing personal."""
        try:
            found = self.key.search(record)
            if not isinstance(found, str | int) or isinstance(found, bool):
                return None
            name = str(found).replace("\x00", "")[:MAX_SOURCE_ID]
            is_number = self.spec.entity is EntityName.MEMBER and is_mobile(name)
            return None if not name or is_number or tells(name, record, self.personal) else name
        except jmespath.exceptions.JMESPathError:
            return None


def open_intake(connector: Connector, stream: StreamSpec, mapping: Mapping | None = None) -> Intake:
    """The intake of a stream, with ``mapping`` instead of the packaged one if given (see ``mapping_in_force``).

    ConfigurationError when its schema or mapping table is wrong.
    """
    contract, check, words = _compile(
        connector.config.connector, stream.name, orjson.dumps(connector.schemas[stream.name]), stream
    )
    mapping = mapping or load_mapping(connector.config.connector, stream.mapping)
    personal = tuple(jmespath.compile(path) for path in stream.personal)
    return Intake(connector, stream, contract, mapping, check, jmespath.compile(stream.key), personal, words)


def mapping_in_force(connection: Connection[DictRow], connector: Connector, stream: StreamSpec) -> Mapping:
    """The mapping that the stream's next message is taken with: the brand's active revision, or the packaged table."""
    return revisions.in_force(connection, Place.of(connector.config, stream.mapping))


@lru_cache(maxsize=256)
def _compile(connector: str, stream: str, schema: bytes, spec: StreamSpec) -> tuple[Contract, Check, frozenset[str]]:
    declared = orjson.loads(schema)
    check = checker(spec.entity)
    words = frozenset({*_names(declared), *_names(ENTITIES[spec.entity].model_json_schema())})
    return load_contract(apply_policy(declared, spec.contract)), check, words


def _names(schema: Any) -> Iterator[str]:
    """The names of all fields that a JSON Schema declares, at any depth."""
    if isinstance(schema, dict):
        properties = schema.get("properties")
        yield from properties if isinstance(properties, dict) else ()
        for child in schema.values():
            yield from _names(child)
    elif isinstance(schema, list):
        for child in schema:
            yield from _names(child)


def judge(intake: Intake, batch: Batch) -> tuple[dict[int, Value], Outcome]:
    """Canonical values by index, and the refusals of all others with every issue; no database, no network."""
    outcome = Outcome()
    good = _keep_contract(intake, batch, outcome)
    mapped = _map(intake, batch, good, outcome)
    checked = dict(zip(mapped, intake.check(list(mapped.values())), strict=True))
    refused = {index: Refusal(_named(intake, value)) for index, value in checked.items() if type(value) is tuple}
    outcome.refused |= refused
    if intake.spec.personal:
        outcome.refused = {index: _masked(refusal, intake.spec) for index, refusal in outcome.refused.items()}
    return _without(checked, refused), outcome


def _keep_contract(intake: Intake, batch: Batch, outcome: Outcome) -> Sequence[int]:
    """Indexes of the records that keep the contract. A frozen stream takes all of a message or nothing."""
    found = intake.contract.check_many(batch.records)
    if not any(found):
        return range(len(found))
    outcome.refused |= {index: Refusal(_named(intake, issues)) for index, issues in enumerate(found) if issues}
    good = [index for index, issues in enumerate(found) if not issues]
    if intake.spec.contract is not Policy.FREEZE or not any(
        i.code == UNKNOWN_FIELD for issues in found for i in issues
    ):
        return good
    frozen = Issue("", "contract.frozen", "another record brought an unknown field; extend the schema, then feed again")
    outcome.refused |= {index: Refusal((frozen,)) for index in good}
    return []


def _map(intake: Intake, batch: Batch, indexes: Sequence[int], outcome: Outcome) -> dict[int, Value]:
    """The records at those indexes in canonical words; what cannot be mapped, or is another brand's, is refused."""
    owner, brand = batch.head.owner, batch.head.brand
    records = [batch.records[index] for index in indexes]
    mapped = dict(zip(indexes, intake.mapping.map_many(records, _context(intake, batch)), strict=True))
    refused: dict[int, Refusal] = {}
    for index, value in mapped.items():
        if isinstance(value, Quarantined):
            refused[index] = Refusal(value.issues)
        elif value["owner"] != owner or value["brand"] != brand:
            refused[index] = Refusal((_foreign(intake),))
    outcome.refused |= refused
    return _without(mapped, refused)


def _without(values: dict[int, Any], refused: Collection[int]) -> dict[int, Value]:
    return {index: value for index, value in values.items() if index not in refused} if refused else dict(values)


def _context(intake: Intake, batch: Batch) -> MapContext:
    return MapContext(
        owner=batch.head.owner,
        brand=batch.head.brand,
        system=batch.head.system,
        zone=intake.connector.config.zone,
        message_id=batch.head.id,
        received_at=batch.head.received_at,
    )


def _foreign(intake: Intake) -> Issue:
    config = intake.connector.config
    return Issue(
        "", "brand.foreign", f"{config.name} speaks for {config.owner}/{config.brand} only; send it through its own"
    )


def _masked(refusal: Refusal, spec: StreamSpec) -> Refusal:
    """Words about personal fields must not quote them."""

    def masked(issue: Issue) -> Issue:
        return Issue(issue.field, issue.code, HIDDEN) if _touches(issue.field, spec.personal) else issue

    return Refusal(tuple(masked(issue) for issue in refusal.issues), refusal.missing)


def _named(intake: Intake, issues: Sequence[Issue]) -> tuple[Issue, ...]:
    """The issues of a contract; where people are concerned, a field that nobody declared is not called by its name."""
    if not intake.spec.personal:
        return tuple(issues)
    named = (Issue(_declared(issue.field, intake.words), issue.code, issue.detail) for issue in issues)
    return tuple(dict.fromkeys(named))


def _declared(field: str, words: Collection[str]) -> str:
    """The field up to its first part that is neither a declared name nor the place in a list of one."""
    numbered = True
    for part in _PART.finditer(field):
        name = part[0]
        is_place = name.isdecimal() and len(name) <= MAX_INDEX and not numbered
        if not is_place and name.strip('"') not in words:
            return field[: part.start()] + UNNAMED
        numbered = is_place
    return field


def _touches(field: str, personal: Sequence[str]) -> bool:
    """Whether the field is a personal one, lies within one, or holds one."""
    return bool(field) and any(f"{path}.".startswith(f"{field}.") or field.startswith(f"{path}.") for path in personal)
