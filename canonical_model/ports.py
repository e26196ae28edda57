"""What a connector offers: a manifest, streams that bring records in, writers that take records out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field

from canonical_model.stock import Figure

Record = Mapping[str, Any]


class EntityName(StrEnum):
    """The canonical entity a stream's records become."""

    PRODUCT = "product"
    LOCATION = "location"
    STOCK = "stock"
    ORDER = "order"
    CONFIRMATION = "confirmation"
    TRANSFER = "transfer"
    MEMBER = "member"
    POINTS = "points"


class Contract(StrEnum):
    """What happens to a field the schema does not know: stop the stream, quarantine the record, keep it."""

    FREEZE = "freeze"
    QUARANTINE = "quarantine"
    IGNORE_EXTRA = "ignore_extra"


class Idempotency(StrEnum):
    """What the hub does when the answer of a write never came."""

    NATIVE_KEY = "native_key"
    READ_BACK = "read_back"
    NONE = "none"


class Proof(StrEnum):
    """What proves that a stock figure already contains a shipment."""

    ORDER_REFS = "order_refs"
    SEQUENCE = "sequence"
    AS_OF = "as_of"


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StockMeaning(_Declared):
    """What a stock stream's figure means; ``clock_skew_s`` bounds how far the source's clock may be off."""

    figure: Figure = Figure.ON_HAND
    proof: Proof = Proof.AS_OF
    clock_skew_s: Annotated[float, Field(ge=0, le=86_400)] = 60.0


class StreamSpec(_Declared):
    """One kind of record that comes in.

    ``records`` is the JMESPath from a parsed document to its list of records (``@`` for a bare list).
    ``key`` is the JMESPath within a record that names it at the source. ``message_key`` is the JMESPath
    within the document that names the message (an IDoc's DOCNUM); it stands in for ``Idempotency-Key``.
    ``ordered_by`` names the record field by which later beats earlier. ``sku_scheme`` and
    ``location_scheme`` say whose codes the records use (default: the system's own).
    ``personal`` lists the JMESPaths of personal fields; such streams are stored record by record, sealed. The first
    that has a value says who the record is about, so list what identifies a person (a mobile number) first.
    ``lists`` are XML element paths that repeat: always a list, also when there is one.
    ``cursor`` names what a pull goes on from, if the next one brings only what changed.
    ``operation`` is the SOAP operation that feeds this stream (PushProducts …); one stream of a system an operation.
    """

    name: str
    entity: EntityName
    mapping: str
    schema_file: Annotated[str, Field(alias="schema")]
    key: str
    direction: Literal["push", "pull"] = "push"
    records: str = "@"
    operation: Annotated[str, Field(pattern=r"^Push[A-Z][A-Za-z]{1,40}$")] | None = None
    message_key: str | None = None
    requires_message_key: bool = False
    contract: Contract = Contract.QUARANTINE
    personal: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    sku_scheme: str | None = None
    location_scheme: str | None = None
    cursor: str | None = None
    schedule_s: Annotated[float, Field(gt=0)] | None = None
    stock: StockMeaning | None = None


class WriterSpec(_Declared):
    """One kind of record that goes out. ``lane`` defaults to the system's name."""

    name: str
    mapping: str
    idempotency: Idempotency
    timeout_s: Annotated[float, Field(gt=0, le=300)] = 10.0
    lane: str | None = None


class LaneSpec(_Declared):
    """Flow control of one destination: writes at once, writes a second (0 = no limit)."""

    concurrency: Annotated[int, Field(ge=1, le=256)] = 4
    rate_per_s: Annotated[float, Field(ge=0)] = 0.0


class AuthSpec(_Declared):
    """How the system proves itself when it pushes, and how we do when we call.

    ``door``: ``api_key``, or ``signature`` verified by the connector's ``doors.py``.
    """

    door: Literal["api_key", "signature"] = "api_key"
    settings: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()


class Limits(_Declared):
    """Hard limits of one system's messages."""

    body_bytes: Annotated[int, Field(gt=0, le=256 * 1024 * 1024)] = 16 * 1024 * 1024
    records: Annotated[int, Field(gt=0, le=100_000)] = 10_000
    depth: Annotated[int, Field(gt=0, le=200)] = 40


class Manifest(_Declared):
    """A connector's ``manifest.toml``."""

    system: str
    title: str
    maintainer: str
    versions: tuple[str, ...]
    protocols: tuple[str, ...]
    auth: AuthSpec = AuthSpec()
    limits: Limits = Limits()
    lane: LaneSpec = LaneSpec()
    streams: tuple[StreamSpec, ...] = ()
    writers: tuple[WriterSpec, ...] = ()
    quality: dict[str, str] = Field(default_factory=dict)

    def stream(self, name: str) -> StreamSpec | None:
        """The stream of that name, if declared."""
        return next((s for s in self.streams if s.name == name), None)

    def writer(self, name: str) -> WriterSpec | None:
        """The writer of that name, if declared."""
        return next((w for w in self.writers if w.name == name), None)


@dataclass(frozen=True, slots=True)
class SystemConfig:
    """One connected system as the deployment configured it.

    ``name`` is this installation's name for it; ``connector`` the folder that speaks to it. ``zone`` is the
    IANA zone of its naive timestamps. ``settings`` are plain values (base_url, client …); ``secrets`` are
    already resolved and never printed.
    """

    name: str
    connector: str
    owner: str
    brand: str
    zone: str = "Asia/Shanghai"
    settings: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a pull: raw records in the source's own shape, and where to go on.

    The last page's cursor is where the next pull begins: None for the beginning, else behind what is known already.
    """

    records: Sequence[Record]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Receipt:
    """The other side's word that a write landed: its own id for it, and what else it said (JSON)."""

    outside_id: str
    detail: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class Reader(Protocol):
    """A stream that is pulled."""

    def pages(self, cursor: str | None) -> Iterator[Page]:
        """Pages after ``cursor``. Raises TransientError when the system is away, RejectedError when it refuses."""
        ...


@runtime_checkable
class Writer(Protocol):
    """A destination.

    ``write`` sends ``body`` (already in the outside's words) under ``key``, identical on every try. Raises
    TransientError (certainly not landed), RejectedError (refused; nothing landed), UncertainError (may have
    landed). ``find`` looks whether ``key`` landed: its receipt, or None; needed for ``read_back``.
    """

    def write(self, key: str, body: Record) -> Receipt: ...

    def find(self, key: str) -> Receipt | None: ...


@dataclass(frozen=True, slots=True)
class PushRequest:
    """What arrived at a door, for a connector that verifies its own signature and words its own answer."""

    stream: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True)
class PushReply:
    """Body and media type in the pushing system's own protocol."""

    body: bytes
    media_type: str


@runtime_checkable
class Door(Protocol):
    """How a system that signs its pushes is let in, and answered in its own words."""

    def verify(self, request: PushRequest) -> None:
        """Returns if the signature holds; AccessError otherwise (missing, wrong, too old)."""
        ...

    def reply(self, *, accepted: bool, code: str, detail: str) -> PushReply:
        """The answer as that protocol words it."""
        ...


@dataclass(frozen=True, slots=True)
class Connector:
    """One connected system, ready to use; built by ``connectors.kit.registry.connect``."""

    config: SystemConfig
    manifest: Manifest
    schemas: Mapping[str, Mapping[str, Any]]
    readers: Mapping[str, Reader]
    writers: Mapping[str, Writer]
    door: Door | None = None
