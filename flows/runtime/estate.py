"""The estate: which systems are connected, under which names, and which one is the authority where.

Read from one TOML file (docs/architecture.md shows it). Every mistake is found at start and names file and key.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Self
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictStr, StringConstraints, ValidationError

from canonical_model.errors import ConfigurationError, NotFoundError
from canonical_model.location import LocationKind
from canonical_model.ports import Connector, LaneSpec, StreamSpec, SystemConfig
from connectors.kit import registry
from flows.runtime.settings import resolve_secret
from flows.runtime.writers import BoundWriter

MAX_FILE_BYTES: Final = 1024 * 1024

SystemName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
PartyCode = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,59}$")]


def _known_zone(zone: str) -> str:
    if zone not in available_timezones():
        raise ValueError(f"unknown zone {zone!r}; use an IANA name such as Asia/Shanghai")
    return zone


Zone = Annotated[StrictStr, AfterValidator(_known_zone)]


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _System(_Declared):
    connector: SystemName
    brand: PartyCode | None = None
    zone: Zone = "Asia/Shanghai"
    settings: dict[str, StrictStr] = Field(default_factory=dict)
    secrets: dict[str, StrictStr] = Field(default_factory=dict)


class _AuthorityRule(_Declared):
    kind: LocationKind
    codes: frozenset[StrictStr] | None = None
    system: SystemName
    fulfilled_by: SystemName | None = None

    def matches(self, kind: str, code: str) -> bool:
        return self.kind == kind and (self.codes is None or code in self.codes)


class _File(_Declared):
    owner: PartyCode
    brand: PartyCode
    erp: SystemName | None = None
    systems: dict[SystemName, _System] = Field(default_factory=dict)
    authority: tuple[_AuthorityRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Authority:
    """``system``: whose stock figure counts at a place. ``fulfilled_by``: who ships from it, if anyone."""

    system: str
    fulfilled_by: str | None


@dataclass(frozen=True, slots=True)
class Estate:
    """The connected systems of one owner, ready to use. ``erp`` is the system that books sales, if there is one."""

    owner: str
    brand: str
    erp: str | None
    connectors: Mapping[str, Connector]
    _authorities: tuple[_AuthorityRule, ...]
    _writers: Mapping[str, BoundWriter]

    @classmethod
    def load(cls, path: Path) -> Self:
        """The estate that the file describes. ConfigurationError names file and key of the first mistake."""
        file = _read(path)
        _check_references(path, file)
        connectors = {name: _connect(path, file, name, system) for name, system in file.systems.items()}
        writers = {
            f"{name}.{spec.name}": BoundWriter(connector, spec)
            for name, connector in connectors.items()
            for spec in connector.manifest.writers
        }
        return cls(file.owner, file.brand, file.erp, connectors, file.authority, writers)

    @property
    def systems(self) -> tuple[str, ...]:
        """Names of the connected systems, sorted."""
        return tuple(sorted(self.connectors))

    def connector(self, system: str) -> Connector:
        """The connector of ``system``. NotFoundError names the systems there are."""
        if found := self.connectors.get(system):
            return found
        raise NotFoundError(
            f"no system {system!r} is connected; there are {', '.join(self.systems)}",
            code="system.unknown",
            system=system,
        )

    def stream(self, system: str, stream: str) -> StreamSpec:
        """The declared stream. NotFoundError names the streams that the system has."""
        manifest = self.connector(system).manifest
        if found := manifest.stream(stream):
            return found
        raise NotFoundError(
            f"{system} has no stream {stream!r}; it has {', '.join(s.name for s in manifest.streams) or 'none'}",
            code="stream.unknown",
            system=system,
            stream=stream,
        )

    def writer(self, name: str) -> BoundWriter:
        """The writer named ``system.writer``. NotFoundError names the writers there are."""
        if found := self._writers.get(name):
            return found
        raise NotFoundError(
            f"there is no writer {name!r}; there are {', '.join(sorted(self._writers)) or 'none'}",
            code="writer.unknown",
        )

    @property
    def lanes(self) -> dict[str, LaneSpec]:
        """The lanes of the destinations, with what each bears."""
        return {writer.lane: writer.lane_spec for writer in self._writers.values()}

    def find_writer(self, system: str | None, writer: str) -> str | None:
        """``system.writer`` if that system is connected and takes such records, else None."""
        name = f"{system}.{writer}"
        return name if name in self._writers else None

    def authority(self, kind: str, code: str) -> Authority:
        """Who counts the stock of the place ``code`` of that kind; the first rule that matches.

        ConfigurationError when none does: a figure without an authority would be guesswork.
        """
        for rule in self._authorities:
            if rule.matches(kind, code):
                return Authority(rule.system, rule.fulfilled_by)
        raise ConfigurationError(
            f"no [[authority]] matches the {kind} {code!r}; add one to the estate file", code="authority.missing"
        )


def _read(path: Path) -> _File:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read ({type(error).__name__}); write it or point YIPAN_ESTATE elsewhere",
            key="YIPAN_ESTATE",
        ) from error
    if len(content) > MAX_FILE_BYTES:
        raise ConfigurationError(f"{path} is over {MAX_FILE_BYTES} bytes; an estate file is a few pages")
    try:
        return _File.model_validate(tomllib.loads(content.decode("utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"] if part != "[key]")
        raise ConfigurationError(f"{path}: {key}: {first['msg']}", key=key) from error


def _check_references(path: Path, file: _File) -> None:
    references = {"erp": file.erp}
    for number, rule in enumerate(file.authority):
        references[f"authority.{number}.system"] = rule.system
        references[f"authority.{number}.fulfilled_by"] = rule.fulfilled_by
    for key, named in references.items():
        if named is not None and named not in file.systems:
            there = ", ".join(sorted(file.systems)) or "none"
            raise ConfigurationError(f"{path}: {key}: {named!r} is not connected; there are {there}", key=key)


def _connect(path: Path, file: _File, name: str, system: _System) -> Connector:
    if system.connector not in registry.available():
        raise ConfigurationError(
            f"{path}: systems.{name}.connector: there is no connector {system.connector!r}; "
            f"there are {', '.join(registry.available())}",
            key=f"systems.{name}.connector",
        )
    config = SystemConfig(
        name=name,
        connector=system.connector,
        owner=file.owner,
        brand=system.brand or file.brand,
        zone=system.zone,
        settings=system.settings,
        secrets={key: _secret(path, name, key, reference) for key, reference in system.secrets.items()},
    )
    return registry.connect(config)


def _secret(path: Path, system: str, key: str, reference: str) -> str:
    try:
        return resolve_secret(reference)
    except ConfigurationError as error:
        place = f"systems.{system}.secrets.{key}"
        raise ConfigurationError(f"{path}: {place}: {error.detail}", key=place) from error
