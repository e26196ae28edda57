"""``yipan points``: what members have and why, who bears it, the rules, and putting things right."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Annotated, Any, Final

import typer

from flows.one_stock.simulation_files import read_text
from hub_api import points, points_books, points_rules, points_views
from hub_api.cli import output
from hub_api.cli.hub import opened_hub, operator
from hub_api.cli.output import AsJson, show, show_rows

app = typer.Typer(no_args_is_help=True, help="Show members' points and their proofs; verify the books; rules; repairs.")
rules_app = typer.Typer(no_args_is_help=True, help="Show, check and publish the points rules.")
app.add_typer(rules_app, name="rules")

Member = Annotated[str, typer.Argument(help="A member: our id, or SYSTEM:CODE such as crm:C1.")]
Programme = Annotated[str, typer.Argument(help="BRAND/CODE, such as yunshang/stars.")]
Brand = Annotated[str | None, typer.Option(help="The brand; that of the estate when left out.")]
When = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"])]
Reason = Annotated[str, typer.Option(help="Why; the audit log keeps it.")]
File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A rulebook, a TOML file.")]

PATIENCE_S: Final = 2.0

BALANCE = ("programme", "available", "held", "arrears", "level", "next_expiry")
LOTS = ("id", "origin_reference", "issuer", "earned_at", "due", "amount", "remaining", "held")
JOURNAL = ("id", "happened_at", "kind", "reference", "changes", "lots")
ISSUERS = (
    "programme", "issuer", "issued", "spent", "expired", "exchanged_out", "clawed_back", "outstanding",
    "liability_minor",
)  # fmt: skip


@app.command()
def balance(member: Member, at: When = None, brand: Brand = None, as_json: AsJson = False) -> None:
    """Show what a member has of each programme."""
    with opened_hub() as hub:
        found = points_views.read_member(hub, operator(hub, brand), member, at=_utc(at))
    if as_json:
        show(found, as_json=True)
        return
    rows = [{**each, "next_expiry": _expiry(each["next_expiry"])} for each in found["programmes"]]
    show_rows(rows, as_json=False, columns=BALANCE)


@app.command()
def lots(
    member: Member,
    programme: Programme,
    every: Annotated[bool, typer.Option("--all", help="Those without points left too.")] = False,
    brand: Brand = None,
    as_json: AsJson = False,
) -> None:
    """List a member's lots in the order in which they are spent."""
    with opened_hub() as hub:
        found = points_views.read_lots(hub, operator(hub, brand), member, programme, open_only=not every)
    if as_json:
        show(found, as_json=True)
        return
    show_rows(found["items"], as_json=False, columns=LOTS)
    if found["cut"]:
        typer.echo(f"there are more than these {len(found['items'])}")


@app.command()
def journal(
    member: Member,
    kind: Annotated[str | None, typer.Option(help="Only these: earn, spend, exchange, expire …")] = None,
    after: Annotated[int | None, typer.Option(min=1, help="`next` of the page before.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    brand: Brand = None,
    as_json: AsJson = False,
) -> None:
    """List what moved a member's points, newest first, and the lots that it filled or emptied."""
    with opened_hub() as hub:
        found = points_views.read_journal(hub, operator(hub, brand), member, kind=kind, after=after, limit=limit)
    if as_json:
        show(found, as_json=True)
        return
    rows = [{**entry, "changes": _changes(entry["changes"]), "lots": _arrows(entry)} for entry in found["items"]]
    show_rows(rows, as_json=False, columns=JOURNAL)


@app.command()
def transfer(
    transfer_id: Annotated[int, typer.Argument(min=1, help="Its id.")], brand: Brand = None, as_json: AsJson = False
) -> None:
    """Show one transfer with its postings, lots and reversals."""
    with opened_hub() as hub:
        found = points_views.read_transfer(hub, operator(hub, brand), transfer_id)
    show(found, as_json=as_json)


@app.command()
def why(
    member: Member,
    programme: Programme,
    since: When = None,
    brand: Brand = None,
    as_json: AsJson = False,
) -> None:
    """Prove a balance: its lots and where their points went, and what changed since yesterday."""
    with opened_hub() as hub:
        found = points_views.read_why(hub, operator(hub, brand), member, programme, since=_utc(since))
    if as_json:
        show(found, as_json=True)
        return
    parts = {name: found[name] for name in ("posted", "held", "due", "available", "arrears", "adds_up")}
    show(parts, as_json=False)
    typer.echo("\nlots")
    show_rows(
        [{**lot, "went": _went(lot["went"])} for lot in found["lots"]],
        as_json=False,
        columns=("id", "origin_reference", "due", "amount", "went", "remaining"),
    )
    typer.echo("\nin all, by what it was for")
    show_rows(found["by_kind"], as_json=False, columns=("kind", "points", "transfers"))
    since_ = found["since"]
    typer.echo(f"\nit was {since_['was']} as recorded by {since_['at']:%Y-%m-%d %H:%M} UTC; since then")
    columns = ("transfer_id", "recorded_at", "happened_at", "kind", "reference", "points")
    show_rows(since_["changes"], as_json=False, columns=columns)


@app.command("as-of")
def as_of(
    member: Member,
    programme: Programme,
    happened: When = None,
    recorded: When = None,
    brand: Brand = None,
    as_json: AsJson = False,
) -> None:
    """Show what a member had of what had happened by a time, as far as it was recorded by another."""
    with opened_hub() as hub:
        found = points_views.read_as_of(
            hub, operator(hub, brand), member, programme, happened=_utc(happened), recorded=_utc(recorded)
        )
    show(found, as_json=as_json)


@app.command()
def issuers(brand: Brand = None, as_json: AsJson = False) -> None:
    """Show who bears the points of the brand's programmes: issued, and what became of them."""
    with opened_hub() as hub:
        rows = points_views.list_issuers(hub, operator(hub, brand))
    show_rows(rows, as_json=as_json, columns=ISSUERS)


@app.command()
def verify(
    head: Annotated[
        str | None, typer.Option(help="COUNT:HASH of an earlier verify, kept elsewhere: finds books put back whole.")
    ] = None,
    brand: Brand = None,
    as_json: AsJson = False,
) -> None:
    """Reckon the journal's chain and every balance, lot and hold anew; exit code 1 names what is wrong."""
    began = monotonic()
    with opened_hub() as hub, output.progress(as_json=as_json) as bar:
        task = bar.add_task("reckoning the books", total=None, visible=False)

        def told(what: str, done: int, total: int) -> None:
            late = monotonic() - began > PATIENCE_S
            bar.update(task, description=f"reckoning {what}", completed=done, total=total, visible=late)

        verified = points_books.verify(hub, operator(hub, brand), head, told=told)
    broken = [asdict(each) for each in verified.broken]
    document = {"sound": not broken, "entries": verified.entries, "head": verified.head, "broken": broken}
    if as_json:
        show(document, as_json=True)
    elif not broken:
        typer.echo(f"the books are sound: {verified.entries:,} entries, head {verified.head}")
    else:
        typer.echo(f"the books are not sound: {len(broken)} thing(s) are wrong, of {verified.entries:,} entries")
        show_rows(broken, as_json=False, columns=("where", "reason"))
    if broken:
        raise typer.Exit(output.EXIT_FAILED)


@app.command()
def expire(
    as_of_day: Annotated[
        datetime, typer.Argument(formats=["%Y-%m-%d"], metavar="AS_OF", help="The first day without them.")
    ],
    brand: Brand = None,
    as_json: AsJson = False,
) -> None:
    """Expire what was due by a business day. Whenever it is done, the result is the same."""
    with opened_hub() as hub, output.working("expiring what is due"):
        access = operator(hub, brand)
        run_id = points.expire(hub, access, as_of_day.date().isoformat())
        hub.runner.run_now(run_id)
        told = points.read_outcome(hub, access, run_id)
    lots_ = told["lots"] or 0
    said = f"{lots_} lot(s) expired" if told["state"] == "done" else f"run {run_id} is {told['state']}"
    output.say(said, {"run_id": run_id, "state": told["state"], "lots": lots_}, as_json=as_json)


@app.command()
def adjust(
    member: Member,
    programme: Programme,
    amount: Annotated[int, typer.Argument(help="How many to give; negative: to take. After --, such as -- -50.")],
    number: Annotated[str, typer.Option(help="Names this adjustment: the same again is done once.")],
    reason: Reason,
    brand: Brand = None,
    as_json: AsJson = False,
) -> None:
    """Give a member points, or take some, by hand."""
    with opened_hub() as hub:
        done = points.adjust(
            hub,
            operator(hub, brand),
            number=number,
            programme=programme,
            holder=member,
            points=amount,
            reason=reason,
        )
    show(done, as_json=as_json)


@app.command()
def merge(
    kept: Member,
    merged: Annotated[str, typer.Argument(help="Who spends from the same wallet from now on.")],
    number: Annotated[str, typer.Option(help="Names this merge: the same again is done once.")],
    reason: Reason,
    brand: Brand = None,
    as_json: AsJson = False,
) -> None:
    """Let two members spend from one wallet."""
    with opened_hub() as hub:
        done = points.merge(hub, operator(hub, brand), number=number, kept=kept, merged=merged, reason=reason)
    show(done, as_json=as_json)


@app.command()
def unmerge(
    merge_id: Annotated[int, typer.Argument(min=1, help="The id that the merge got.")],
    reason: Annotated[str, typer.Option(help="Why; the audit log keeps it.")] = "",
    brand: Brand = None,
    as_json: AsJson = False,
) -> None:
    """Give each member of a merge a wallet of their own again."""
    with opened_hub() as hub:
        done = points.unmerge(hub, operator(hub, brand), merge_id, reason=reason)
    show(done, as_json=as_json)


@rules_app.command("show")
def show_rules(
    version: Annotated[int | None, typer.Option(min=0, help="Another version than the one in force.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the group's rulebook as it was published."""
    with opened_hub() as hub:
        found = points_rules.rules_state(hub, operator(hub), version)
    shown = {name: getattr(found, name) for name in ("version", "latest", "fingerprint", "note", "published_by")}
    published = found.published_at.isoformat() if found.published_at else None
    output.say(found.text.rstrip("\n"), {**shown, "published_at": published, "text": found.text}, as_json=as_json)


@rules_app.command("check")
def check_rules(file: File, as_json: AsJson = False) -> None:
    """Say what is wrong with a rulebook, or which lines it would change. Exit code 4: it is wrong."""
    text = read_text(file)
    with opened_hub() as hub:
        found = points_rules.check_rules(hub, operator(hub), text)
    if as_json:
        show(asdict(found), as_json=True)
    elif found.issues:
        show_rows([asdict(issue) for issue in found.issues], as_json=False, columns=("field", "detail"))
    else:
        typer.echo("\n".join(found.lines) or f"this is version {found.against}, which is in force")
    if found.issues:
        raise typer.Exit(output.EXIT_REJECTED)


@rules_app.command("publish")
def publish_rules(
    file: File,
    reason: Reason,
    against: Annotated[int | None, typer.Option(min=0, help="Only while this version is in force.")] = None,
    as_json: AsJson = False,
) -> None:
    """Put a rulebook in force. The same text again is the same version."""
    text = read_text(file)
    with opened_hub() as hub:
        version = points_rules.publish(hub, operator(hub), text, reason, against=against)
    output.say(f"version {version} is in force", {"version": version}, as_json=as_json)


@rules_app.command("history")
def rules_history(
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="The newest so many.")] = 50, as_json: AsJson = False
) -> None:
    """List the versions, newest first."""
    with opened_hub() as hub:
        found = points_rules.list_versions(hub, operator(hub), before=None, limit=limit)
    columns = ("version", "published_at", "published_by", "note", "fingerprint")
    show_rows([asdict(head) for head in found], as_json=as_json, columns=columns)


def _utc(when: datetime | None) -> datetime | None:
    """What was typed without an offset is UTC."""
    return when.replace(tzinfo=UTC) if when is not None and when.tzinfo is None else when


def _expiry(found: dict[str, Any] | None) -> str:
    return f"{found['points']} on {found['due']:%Y-%m-%d %H:%M} UTC" if found else ""


def _changes(changes: list[dict[str, Any]]) -> str:
    return " ".join(f"{change['points']:+} {change['programme']}" for change in changes)


def _arrows(entry: dict[str, Any]) -> str:
    """``-50 of S1`` for each lot that a debit took from."""
    taken = [each for each in entry["postings"] if each["lot_id"] is not None and each["points"] < 0]
    return ", ".join(f"{each['points']} of {each['origin_reference'] or each['origin_id']}" for each in taken)


def _went(moved: list[dict[str, Any]]) -> str:
    return ", ".join(f"{each['points']:+} {each['kind']} {each['reference']}".strip() for each in moved)
