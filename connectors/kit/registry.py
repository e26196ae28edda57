"""Builds a connected system from its configuration and the folder that speaks to it."""

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable
from typing import Any

import connectors
from canonical_model.errors import ConfigurationError
from canonical_model.ports import Connector, Door, Manifest, Reader, SystemConfig, Writer
from connectors.kit.keyset import sql_readers
from connectors.kit.manifest import MANIFEST_FILE, connector_folder, load_manifest, load_schemas


def available() -> list[str]:
    """Names of the installed connectors, sorted: every folder that has a manifest."""
    folders = (module.name for module in pkgutil.iter_modules(connectors.__path__) if module.ispkg)
    return sorted(name for name in folders if (connector_folder(name) / MANIFEST_FILE).exists())


def connect(config: SystemConfig) -> Connector:
    """The connector of ``config``, ready to use. Opens no connection.

    ConfigurationError: no such connector, a missing setting or secret, or a manifest that promises a reader,
    writer or door which the folder does not hold.
    """
    manifest = load_manifest(config.connector)
    _require_settings(config, manifest)
    readers: dict[str, Reader] = _build(config, manifest, "streams", "readers") or _declared(config, manifest)
    writers: dict[str, Writer] = _build(config, manifest, "writers", "writers") or {}
    door: Door | None = _build(config, manifest, "doors", "door")
    pulled = {s.name for s in manifest.streams if s.direction == "pull"}
    _same_names(config, "streams.py: readers", declared=pulled, built=set(readers))
    _same_names(config, "writers.py: writers", declared={w.name for w in manifest.writers}, built=set(writers))
    if (manifest.auth.door == "signature") != (door is not None):
        raise ConfigurationError(
            f"connectors/{config.connector}: auth.door is {manifest.auth.door!r}; only 'signature' comes with doors.py",
            system=config.name,
        )
    return Connector(
        config=config,
        manifest=manifest,
        schemas=load_schemas(config.connector),
        readers=readers,
        writers=writers,
        door=door,
    )


def _require_settings(config: SystemConfig, manifest: Manifest) -> None:
    for kind, needed, given in (
        ("settings", manifest.auth.settings, config.settings),
        ("secrets", manifest.auth.secrets, config.secrets),
    ):
        missing = [name for name in needed if not given.get(name)]
        if missing:
            raise ConfigurationError(
                f"system {config.name!r} lacks {kind}.{missing[0]}; add it under [systems.{config.name}]",
                system=config.name,
                key=f"{kind}.{missing[0]}",
            )


def _build(config: SystemConfig, manifest: Manifest, module: str, function: str) -> Any:
    name = f"connectors.{config.connector}.{module}"
    if importlib.util.find_spec(name) is None:
        return None
    build: Callable[[SystemConfig, Manifest], Any] = getattr(importlib.import_module(name), function)
    return build(config, manifest)


def _declared(config: SystemConfig, manifest: Manifest) -> dict[str, Reader]:
    """Readers of a connector that only holds SQL."""
    folder = connector_folder(config.connector) / "sql"
    return sql_readers(config, manifest, folder) if folder.is_dir() else {}


def _same_names(config: SystemConfig, where: str, *, declared: set[str], built: set[str]) -> None:
    if declared != built:
        raise ConfigurationError(
            f"connectors/{config.connector}/{where} offers {sorted(built)}, the manifest declares {sorted(declared)}",
            system=config.name,
        )
