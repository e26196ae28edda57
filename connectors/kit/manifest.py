"""Reads a connector's ``manifest.toml`` and JSON Schemas; a mistake names the file and the key."""

import importlib.util
import tomllib
from functools import cache
from pathlib import Path
from typing import Any, Final

import orjson
from pydantic import ValidationError

from canonical_model.errors import ConfigurationError
from canonical_model.ports import EntityName, Manifest, StreamSpec

MANIFEST_FILE: Final = "manifest.toml"


def connector_folder(connector: str) -> Path:
    """The folder that speaks to ``connector``; ConfigurationError if no such package is installed."""
    spec = importlib.util.find_spec(f"connectors.{connector}") if connector.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError(
            f"there is no connector {connector!r}; create connectors/{connector}/ or correct the name", system=connector
        )
    return Path(next(iter(spec.submodule_search_locations)))


@cache
def load_manifest(connector: str) -> Manifest:
    """The checked manifest of ``connector``. ConfigurationError names the file and key of the first mistake."""
    path = connector_folder(connector) / MANIFEST_FILE
    try:
        manifest = Manifest.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise ConfigurationError(f"{path} does not exist; write it", system=connector) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not TOML: {error}", system=connector) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"{path}: {key}: {first['msg']}", system=connector, key=key) from error
    for problem in _contradictions(manifest):
        raise ConfigurationError(f"{path}: {problem}", system=connector)
    return manifest


def load_schemas(connector: str) -> dict[str, dict[str, Any]]:
    """JSON Schema of each stream, by stream name. ConfigurationError names the file that is missing or broken."""
    folder = connector_folder(connector) / "schemas"
    return {stream.name: _schema(folder / stream.schema_file) for stream in load_manifest(connector).streams}


def _schema(path: Path) -> dict[str, Any]:
    try:
        schema = orjson.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ConfigurationError(f"{path} does not exist; write it or correct the stream's schema key") from error
    except orjson.JSONDecodeError as error:
        raise ConfigurationError(f"{path} is not JSON: {error}") from error
    if not isinstance(schema, dict):
        raise ConfigurationError(f"{path} must hold one JSON object")
    return schema


def _contradictions(manifest: Manifest) -> list[str]:
    problems = []
    for kind, names in (
        ("streams", [s.name for s in manifest.streams]),
        ("writers", [w.name for w in manifest.writers]),
    ):
        problems += [f"{kind}: the name {n!r} is used twice" for n in sorted({n for n in names if names.count(n) > 1})]
    for stream in manifest.streams:
        problems += [f"streams.{stream.name}.{problem}" for problem in _stream_contradictions(stream)]
    return problems


def _stream_contradictions(stream: StreamSpec) -> list[str]:
    problems = []
    if (stream.entity is EntityName.STOCK) != (stream.stock is not None):
        problems.append("stock: a stock stream, and only it, says what its figure means")
    if stream.direction == "pull" and stream.schedule_s is None:
        problems.append("schedule_s: say how often the stream is pulled, in seconds")
    if stream.direction == "push" and stream.schedule_s is not None:
        problems.append("schedule_s: a pushed stream has no schedule; remove the key")
    return problems
