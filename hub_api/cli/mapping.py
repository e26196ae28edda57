"""``yipan mapping``: the tables between outside words and ours."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from canonical_model.errors import RejectedError
from canonical_model.ports import Limits
from connectors.kit.documents import extract_records, parse_document
from connectors.kit.manifest import load_manifest
from hub_api.cli.output import EXIT_REJECTED, AsJson, show_rows
from mappings.engine import MapContext, Quarantined, available, load_mapping, run_examples

app = typer.Typer(no_args_is_help=True, help="List, check and try mapping tables.")

MEDIA_TYPES = {
    ".json": "application/json",
    ".ndjson": "application/x-ndjson",
    ".jsonl": "application/x-ndjson",
    ".csv": "text/csv",
    ".xml": "application/xml",
}


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List every mapping with its version."""
    found = [(f"{connector}/{name}", load_mapping(connector, name)) for connector, name in available()]
    rows = [
        {
            "mapping": name,
            "direction": m.direction,
            "entity": m.entity,
            "version": m.version,
            "examples": len(m.examples),
        }
        for name, m in found
    ]
    show_rows(rows, as_json=as_json, columns=("mapping", "direction", "entity", "version", "examples"))


@app.command()
def check(
    mapping: Annotated[str | None, typer.Argument(help="connector/name; every mapping when left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run the examples that mappings carry."""
    names = [_split(mapping)] if mapping else available()
    rows = []
    for connector, name in names:
        table = load_mapping(connector, name)
        failures = run_examples(table)
        rows.append({"mapping": f"{connector}/{name}", "examples": len(table.examples), "failures": failures})
    show_rows(rows, as_json=as_json, columns=("mapping", "examples", "failures"))
    if any(row["failures"] for row in rows):
        raise typer.Exit(EXIT_REJECTED)


@app.command()
def run(
    mapping: Annotated[str, typer.Argument(help="connector/name, such as wms/stock_in.")],
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A .json, .ndjson, .csv or .xml file.")],
    zone: Annotated[str, typer.Option(help="IANA zone of times without an offset.")] = "Asia/Shanghai",
    as_json: AsJson = False,
) -> None:
    """Map the records of a file and print what comes out; nothing is stored."""
    connector, name = _split(mapping)
    table = load_mapping(connector, name)
    stream = next((s for s in load_manifest(connector).streams if s.mapping == name), None)
    document = parse_document(
        file.read_bytes(), _media_type(file), limits=Limits(), lists=stream.lists if stream else ()
    )
    records = extract_records(document, stream.records if stream else "@")
    context = MapContext("owner", "brand", connector, zone, "try", datetime.now(UTC))
    results = [_shown(position, result) for position, result in enumerate(table.map_many(records, context))]
    show_rows(results, as_json=as_json, columns=("position", "result", "issues"))
    if any(result["issues"] for result in results):
        raise typer.Exit(EXIT_REJECTED)


def _shown(position: int, result: object) -> dict[str, object]:
    if isinstance(result, Quarantined):
        issues = [{"field": i.field, "code": i.code, "detail": i.detail} for i in result.issues]
        return {"position": position, "result": None, "issues": issues}
    return {"position": position, "result": result, "issues": []}


def _split(mapping: str) -> tuple[str, str]:
    connector, slash, name = mapping.partition("/")
    if not slash:
        raise RejectedError(f"{mapping!r} is not connector/name; `yipan mapping list` shows what there is")
    return connector, name


def _media_type(file: Path) -> str:
    if found := MEDIA_TYPES.get(file.suffix.lower()):
        return found
    raise RejectedError(f"{file.name} must end in one of {', '.join(MEDIA_TYPES)}")
