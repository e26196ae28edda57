"""``yipan search`` and ``yipan story``: where is it, and what happened to it?"""

from dataclasses import asdict
from typing import Annotated

import typer

from hub_api import stories
from hub_api.cli.hub import opened_hub, operator
from hub_api.cli.output import AsJson, show, show_rows

app = typer.Typer()


@app.command()
def search(
    text: Annotated[str, typer.Argument(help="Any order no., SKU, GTIN, phone, waybill, document no., key or id.")],
    as_json: AsJson = False,
) -> None:
    """Find whatever goes by a number, code or key."""
    with opened_hub() as hub:
        hits = [asdict(hit) for hit in stories.search(hub, operator(hub), text)]
    show_rows(hits, as_json=as_json, columns=("kind", "id", "title", "when", "matched"))


@app.command()
def story(
    kind: Annotated[str, typer.Argument(help=", ".join(stories.KINDS))],
    story_id: Annotated[str, typer.Argument(metavar="ID", help="The id that `search` shows.")],
    as_json: AsJson = False,
) -> None:
    """Tell everything about one thing; personal fields are masked."""
    with opened_hub() as hub:
        told = asdict(stories.story(hub, operator(hub), kind, story_id))
    show(told, as_json=as_json)
