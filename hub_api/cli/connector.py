"""``yipan connector``: the folders that speak to outside systems."""

import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from canonical_model.errors import ConfigurationError, HubError
from connectors.kit import registry
from connectors.kit.manifest import load_manifest
from hub_api.cli.hub import opened_hub
from hub_api.cli.output import EXIT_FAILED, AsJson, progress, show, show_rows

app = typer.Typer(no_args_is_help=True, help="List, check and create connectors; pull from a system.")

Name = Annotated[str, typer.Argument(help="The connector's folder name.")]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the installed connectors."""
    manifests = [(name, load_manifest(name)) for name in registry.available()]
    rows = [
        {
            "connector": name,
            "title": manifest.title,
            "protocols": list(manifest.protocols),
            "streams": [stream.name for stream in manifest.streams],
            "writers": [writer.name for writer in manifest.writers],
        }
        for name, manifest in manifests
    ]
    show_rows(rows, as_json=as_json, columns=("connector", "title", "streams", "writers"))


@app.command()
def check(name: Name, as_json: AsJson = False) -> None:
    """Check manifest, schemas and mappings against the conformance suite; its live part runs in pytest."""
    load_manifest(name)
    rows = [
        {"check": test.__name__.removeprefix("test_").replace("_", " "), "problem": _problem(test)}
        for test in _conformance_tests(name)
    ]
    show_rows(rows, as_json=as_json, columns=("check", "problem"))
    if any(row["problem"] for row in rows):
        raise typer.Exit(EXIT_FAILED)


@app.command()
def new(
    name: Name,
    folder: Annotated[Path, typer.Option(help="Root of the source tree to write into.")] = Path(),
    as_json: AsJson = False,
) -> None:
    """Write the skeleton of a connector: manifest, schema, mapping, conformance test."""
    from connectors.kit.scaffold import scaffold

    show({"written": [str(path) for path in scaffold(name, folder)]}, as_json=as_json)


@app.command()
def sync(
    system: Annotated[str, typer.Argument(help="The system's name in the estate file.")],
    stream: Annotated[str | None, typer.Argument(help="One stream; every pulled stream when left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """Pull a system's streams to their end, now."""
    from flows.ingest.pull import pull

    with opened_hub() as hub, progress(as_json=as_json) as bar:
        manifest = hub.estate.connector(system).manifest
        streams = [stream] if stream else [spec.name for spec in manifest.streams if spec.direction == "pull"]
        reports = [pull(hub, system, one) for one in bar.track(streams, description=f"pulling from {system}")]
        hub.runner.drain()
    rows: list[dict[str, Any]] = [
        {
            "stream": report.stream,
            "pages": report.pages,
            "records": report.records,
            "messages": report.messages,
            "error": report.error.detail if report.error else None,
        }
        for report in reports
    ]
    show_rows(rows, as_json=as_json, columns=("stream", "pages", "records", "error"))
    for report in reports:
        if report.error:
            raise report.error


def _conformance_tests(connector: str) -> Iterator[Callable[[], None]]:
    try:
        from flows.testing.conformance import DeclarationConformance
    except ImportError as error:
        raise ConfigurationError(f"the conformance suite needs {error.name}; install yipan[dev]") from error
    suite = type("Suite", (DeclarationConformance,), {"connector": connector})()
    names = [name for name in dir(suite) if name.startswith("test_")]
    yield from (getattr(suite, name) for name in names)


def _problem(test: Callable[[], None]) -> str | None:
    try:
        test()
    except (AssertionError, HubError, OSError) as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return str(error) or f"{where.line}"
    return None
