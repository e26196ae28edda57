"""Whatever is asked, the API answers as its OpenAPI document says, and never with an error of its own."""

import json
import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Final, cast

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import GenerationConfig
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi import checks

from canonical_model.ports import Receipt
from flows.runtime.bootstrap import Hub
from flows.runtime.writers import BoundWriter
from hub_api.rest.app import create_app
from hub_api.rest.document import REASONS
from mappings.engine import read_table
from tests.hub_api.documents import order, product
from tests.hub_api.points_world import LEAVES, MERGE, NOON, STARS, sale
from tests.hub_api.points_world import RULES as POINTS_RULES
from tests.hub_api.rest.known import HOLD, KnownHub, known_hub

CHECKS: Final = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
OF_EDGES: Final = [*CHECKS, checks.unsupported_method, checks.allow_header_conformance]
SAMPLES: Final = 10
EDGES: Final = 30
MANY: Final = 400
ALL: Final = list(HealthCheck)
UNHURRIED: Final[dict[str, Any]] = {"database": None, "deadline": None, "phases": [Phase.generate]}
REASON: Final = "the supplier names its units in another way"
TABLE: Final = read_table("hub", "product_in")
RULES: Final = "parcel_cost = 8.0\nper_km = 0.006\nmax_parcels = 2\n"
OF_C1: Final = {"programme": STARS, "holder": "hub:C1"}
EXCHANGE: Final = {"from": STARS, "to": LEAVES, "points": 30, "happened_at": NOON}

REFUSED: Final = {
    "POST /v1/runs/{run_id}/cancel": 409,  # its write is in doubt
    "POST /v1/points/spends": 404,  # no supplier is connected
    "POST /v1/points/refunds": 404,
}
NOT_FOR_SHOPS: Final = frozenset(
    {
        "DELETE /v1/points/merges/{merge_id}",
        "GET /v1/orders/{order_id}/decisions",
        "GET /v1/points/due",
        "GET /v1/points/issuers",
        "GET /v1/points/proofs",
        "GET /v1/points/transfers",
        "GET /v1/points/transfers/{transfer_id}",
        "GET /v1/stock",
        "GET /v1/stock/suggestions",
        "GET /v1/stock/warnings",
        "POST /v1/points/adjustments",
        "POST /v1/points/exchanges",
        "POST /v1/points/merges",
        "POST /v1/points/rules",
    }
)

# What succeeds, of the operations that take a body; ``known.parts`` are in their addresses.
BODIES: Final[dict[str, Any]] = {
    "POST /v1/orders": order("M2002"),
    "POST /v1/holds": HOLD,
    "POST /v1/holds/{channel}/{order_no}/extend": {"ttl_s": 60},
    "POST /v1/members/find": {"mobile": "138 1234 5678"},
    "POST /v1/points/adjustments": {"adjustment_no": "A1", "points": 5, "reason": REASON, **OF_C1},
    "POST /v1/points/earns": sale("hub:C1", "S2"),
    "POST /v1/points/exchanges": {**EXCHANGE, "exchange_no": "X1", "holder": "hub:C1"},
    "POST /v1/points/merges": MERGE,
    "POST /v1/points/quotes/earn": {"programme": STARS, "lines": sale("hub:C1", "S2")["lines"]},
    "POST /v1/points/quotes/exchange": EXCHANGE,
    "POST /v1/points/quotes/spend": {"amount_minor": 100, **OF_C1},
    "POST /v1/points/refunds": {"order_no": "P1", "refund_no": "1", "happened_at": NOON},
    "POST /v1/points/returns": {
        "programme": STARS,
        "order_no": "S1",
        "return_no": "R1",
        "happened_at": NOON,
        "lines": [{"line_no": 1, "quantity": 1}],
    },
    "POST /v1/points/rules": {"text": POINTS_RULES, "note": REASON},
    "POST /v1/points/rules/check": {"text": POINTS_RULES},
    "POST /v1/points/spends": {
        "order_no": "P1",
        "happened_at": NOON,
        "region_code": "330106",
        "supplier": "giftco",
        "points": 1,
        **OF_C1,
        "lines": [{"line_no": 1, "sku": "CARD-10", "quantity": 1, "points": 1}],
    },
    "POST /v1/quarantine/refeed": {"system": "hub"},
    "POST /v1/quarantine/discard": {"cause": "unit.imaginary"},
    "POST /v1/quarantine/{row_id}/preview": {"record": product("GOOD")},
    "POST /v1/quarantine/{row_id}/correct": {"record": product("GOOD")},
    "POST /v1/mappings/{system}/{stream}/try": {"text": TABLE},
    "POST /v1/mappings/{system}/{stream}/revisions": {"text": TABLE, "reason": REASON},
    "POST /v1/mappings/{system}/{stream}/activate": {"number": None, "reason": REASON},
    "POST /v1/routing/rules": {"text": RULES, "reason": REASON, "against": 0},
    "POST /v1/routing/rules/check": {"text": RULES},
    "POST /v1/routing/what-if": {"rules": RULES},
    "POST /v1/unmask": {"what": "order", "id": "{order_id}", "reason": "the courier cannot read the label"},
    "POST /v1/runs/{run_id}/retry": {},
    "POST /v1/runs/{run_id}/effects/{effect_id}/settle": {"landed": True, "outside_id": "WMS-1"},
    "POST /v1/search": {"text": "M1001"},
    "POST /v1/ingest/{system}/{stream}": [product("GOOD"), product("BAD", base_unit="parsec")],
    "PUT /v1/stock/safety": {"sku": "TEE-RED-M", "place": "HZ01", "units": 1},
}
QUERIES: Final[dict[str, Any]] = {
    "GET /v1/points/members/{member}/as-of": {"programme": STARS},
    "GET /v1/points/members/{member}/lots": {"programme": STARS},
    "GET /v1/points/members/{member}/why": {"programme": STARS},
    "GET /v1/stock/availability": {"sku": "TEE-RED-M", "by": "region"},
}


@schemathesis.serializer("application/x-ndjson", "text/csv")
def as_it_is(_: schemathesis.SerializationContext, value: Any) -> bytes:
    """A body of lines: whatever it is, or as JSON."""
    return (value if isinstance(value, str) else json.dumps(value, default=str)).encode("utf-8", "replace")


def described() -> dict[str, Any]:
    """The document; it does not depend on what is connected."""
    hub = SimpleNamespace(settings=SimpleNamespace(max_body_bytes=2_000_000))
    return create_app(cast(Hub, hub)).openapi()


DOCUMENT: Final = described()
SCHEMA: Final = schemathesis.openapi.from_dict(DOCUMENT, config=schemathesis.Config())
OPERATIONS: Final[dict[str, Any]] = {
    operation.label: operation for operation in (cast(Any, found).ok() for found in SCHEMA.get_all_operations())
}
CLOSED: Final = [label for label, operation in OPERATIONS.items() if "security" in operation.definition.raw]
every_operation: Final = pytest.mark.parametrize("label", OPERATIONS)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, postgres_18: str) -> Iterator[KnownHub]:
    """A hub that knows one of everything; whoever is asked about a write answers at once."""
    with pytest.MonkeyPatch.context() as patch, known_hub(tmp_path_factory.mktemp("known"), postgres_18) as hub:
        patch.setattr(BoundWriter, "find", lambda *_: Receipt("WMS-1"))
        logging.disable(logging.WARNING)
        yield hub
        logging.disable(logging.NOTSET)


@pytest.fixture
def known(filled: KnownHub) -> KnownHub:
    """The same, as it was in the beginning."""
    filled.restore()
    return filled


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    """One connection for all requests."""
    with requests.Session() as opened:
        opened.trust_env = False
        yield opened


class Caller:
    """Asks with one key, or with none, and holds every answer against the document."""

    def __init__(self, known: KnownHub, session: requests.Session, key: str | None) -> None:
        self.known = known
        self.session = session
        self.headers = {"Authorization": f"Bearer {key}" if key else ""}

    def there(self, label: str) -> dict[str, Any]:
        """The names that lead to something, for the address of an operation."""
        names = {parameter.name for parameter in OPERATIONS[label].path_parameters}
        return {name: value for name, value in self.known.parts.items() if name in names}

    def ask(self, case: Any, checked: list[Any] = CHECKS) -> int:
        """The status of the answer, which is as documented."""
        answer = case.call_and_validate(self.known.url, self.session, self.headers, checked, timeout=60)
        return int(answer.status_code)

    def succeed(self, label: str) -> int:
        """The status of an answer to what should succeed."""
        body = BODIES.get(label)
        if isinstance(body, dict) and isinstance(body.get("id"), str):
            body = {**body, "id": body["id"].format(**{name: str(part) for name, part in self.known.parts.items()})}
        sent = {} if body is None else {"body": body, "media_type": "application/json"}
        query = {"wait": "true"} if "ingest" in label else QUERIES.get(label, {})
        return self.ask(OPERATIONS[label].Case(path_parameters=self.there(label), query=query, **sent))

    def sample(self, label: str, samples: int, modes: list[GenerationMode]) -> set[int]:
        """The statuses of the answers to requests as documented or not, about what is there and what is not."""
        statuses = set()
        operation, there = OPERATIONS[label], self.there(label)
        addresses = (None, there) if there else (None,)
        strategies = [operation.as_strategy(mode, path_parameters=names) for mode in modes for names in addresses]

        @seed(20260301)
        @settings(
            max_examples=samples, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=ALL
        )
        @given(st.one_of(strategies))
        def asked(case: Any) -> None:
            statuses.add(self.ask(case))

        asked()
        return statuses

    def edges(self, label: str, most: int | None = None) -> None:
        """Ask at the limits of every field, with other methods and other kinds of body; at ``most`` so many."""
        config = GenerationConfig()
        found = list(
            SCHEMA.iter_coverage_cases(
                OPERATIONS[label], generation_modes=list(GenerationMode), generation_config=config
            )
        )
        for case in found[:: 1 if most is None else -(-len(found) // most)]:
            if case.meta is not None and not case.meta.is_negative_at(ParameterLocation.PATH):
                case.path_parameters.update(self.there(label))
            self.ask(case, OF_EDGES)


@every_operation
def test_it_shows_and_does_what_it_is_for(label: str, known: KnownHub, session: requests.Session) -> None:
    status = Caller(known, session, known.desk_key if label in NOT_FOR_SHOPS else known.key).succeed(label)
    assert status in ((REFUSED[label],) if label in REFUSED else (200, 201, 202))


@every_operation
def test_it_answers_anything_as_documented(label: str, known: KnownHub, session: requests.Session) -> None:
    Caller(known, session, known.key).sample(label, SAMPLES, list(GenerationMode))


@every_operation
def test_it_answers_at_the_edges_as_documented(label: str, known: KnownHub, session: requests.Session) -> None:
    Caller(known, session, known.key).edges(label, EDGES)


@pytest.mark.parametrize("label", CLOSED)
def test_it_wants_a_key_before_all_else(label: str, known: KnownHub, session: requests.Session) -> None:
    nobody = Caller(known, session, None)
    assert nobody.succeed(label) == 401
    assert nobody.sample(label, 3, [GenerationMode.POSITIVE]) == {401}
    assert nobody.sample(label, 3, [GenerationMode.NEGATIVE]) <= {400, 401, 404, 405, 413, 422}, "it cannot be read"


@pytest.mark.parametrize("label", CLOSED)
def test_it_wants_a_scope(label: str, known: KnownHub, session: requests.Session) -> None:
    assert Caller(known, session, known.little_key).succeed(label) == 403


def test_a_system_that_signs_is_answered_as_documented_too(known: KnownHub, session: requests.Session) -> None:
    """Its refusals are successes of HTTP, in its own words."""
    push = OPERATIONS["POST /v1/ingest/{system}/{stream}"]
    names = {"system": "wms", "stream": "stock_snapshots"}
    case = push.Case(path_parameters=names, body="<request/>", media_type="application/xml")
    assert Caller(known, session, None).ask(case) == 200


@pytest.mark.parametrize("label", ["POST /v1/quarantine/refeed", "POST /v1/quarantine/discard"])
def test_an_id_that_no_row_can_have_is_refused(label: str, known: KnownHub, session: requests.Session) -> None:
    case = OPERATIONS[label].Case(body={"ids": [1, 2**64]}, media_type="application/json")
    assert Caller(known, session, known.key).ask(case) == 422


def test_a_refused_method_is_told_every_other(known: KnownHub, session: requests.Session) -> None:
    answer = session.delete(f"{known.url}/v1/orders", timeout=60)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")


@pytest.mark.soak
def test_many_more_requests_are_answered_as_documented(filled: KnownHub, session: requests.Session) -> None:
    caller = Caller(filled, session, filled.key)
    for label in OPERATIONS:
        filled.restore()
        caller.sample(label, MANY, list(GenerationMode))
        caller.edges(label)


def test_every_refusal_is_described_once() -> None:
    shared = {f"#/components/responses/Problem{status}" for status in REASONS}
    for label, operation in OPERATIONS.items():
        for status, answer in operation.definition.raw["responses"].items():
            if int(status) >= 400 and "content" not in answer:
                assert answer.get("$ref") in shared, (label, status)
    assert "HTTPValidationError" not in DOCUMENT["components"]["schemas"]


def test_the_document_is_openapi() -> None:
    SCHEMA.validate()


def test_only_health_is_open() -> None:
    assert set(OPERATIONS) - set(CLOSED) == {"GET /healthz", "GET /readyz"}
