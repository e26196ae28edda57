"""``yipan user``: the people who sign in."""

import sys
from typing import Annotated, Any

import typer

from canonical_model.errors import RejectedError
from hub_api import people
from hub_api.cli.hub import opened_hub, operator
from hub_api.cli.output import AsJson, show, show_rows
from hub_api.roles import ROLES
from hub_api.sessions import fold

app = typer.Typer(no_args_is_help=True, help="Accounts: create, list, roles, password, second factor, unlock.")

Login = Annotated[str, typer.Argument(help="The login that `user list` shows.")]
Brand = Annotated[str | None, typer.Option(help="In this brand; that of the estate when left out.")]
Role = Annotated[list[str] | None, typer.Option(help=f"One of {', '.join(ROLES)}; repeat for more.")]
FromStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from the first line of stdin.")]


@app.command()
def create(
    login: Annotated[str, typer.Argument(help="What the person types to sign in, such as li.wei.")],
    name: Annotated[str, typer.Option(help="What people call them.")],
    role: Role = None,
    brand: Brand = None,
    password_stdin: FromStdin = False,
    no_password: Annotated[bool, typer.Option(help="They sign in through the OpenID provider only.")] = False,
    as_json: AsJson = False,
) -> None:
    """Create an account; its password is asked for, and must be changed at the first sign-in."""
    if not role:
        raise RejectedError(f"name at least one --role: {', '.join(ROLES)}", code="role.missing")
    password = None if no_password else _password(from_stdin=password_stdin)
    with opened_hub() as hub:
        people.create_person(hub, operator(hub, brand), login, name=name, roles=role, password=password)
        document = {"login": fold(login), "brand": brand or hub.estate.brand, "roles": sorted(set(role))}
    show(document, as_json=as_json)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List every account with its roles by brand."""
    with opened_hub() as hub, hub.database.unit() as uow:
        rows = people.list_people(uow, operator(hub), every_brand=True)
    columns = ("login", "name", "state", "brands", "totp_state", "must_change_password", "signed_in_at")
    show_rows(rows, as_json=as_json, columns=columns)


@app.command()
def roles(login: Login, role: Role = None, brand: Brand = None, as_json: AsJson = False) -> None:
    """Set what the person is in a brand; without --role, show what roles open."""
    if not role:
        opened = [{"role": name, "scopes": sorted(scopes)} for name, scopes in ROLES.items()]
        show_rows(opened, as_json=as_json, columns=("role", "scopes"))
        return
    with opened_hub() as hub:
        people.set_roles(hub, operator(hub, brand), login, role)
        document = {"login": fold(login), "brand": brand or hub.estate.brand, "roles": sorted(set(role))}
    show(document, as_json=as_json)


@app.command()
def brands(
    login: Login,
    leave: Annotated[str | None, typer.Option(help="Take the person out of this brand.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the person's roles by brand, or take them out of one; `user roles --brand` puts them into one."""
    with opened_hub() as hub:
        if leave is not None:
            people.set_roles(hub, operator(hub, leave), login, [])
        with hub.database.unit() as uow:
            found = people.get_person(uow, operator(hub), login)
    rows = [{"brand": brand, "roles": roles} for brand, roles in sorted(found["brands"].items())]
    show_rows(rows, as_json=as_json, columns=("brand", "roles"))


@app.command()
def disable(login: Login, as_json: AsJson = False) -> None:
    """Keep the account out; its sessions end now."""
    with opened_hub() as hub:
        people.set_state(hub, operator(hub), login, active=False)
    show({"login": fold(login), "state": "disabled"}, as_json=as_json)


@app.command()
def enable(login: Login, as_json: AsJson = False) -> None:
    """Let the account in again."""
    with opened_hub() as hub:
        people.set_state(hub, operator(hub), login, active=True)
    show({"login": fold(login), "state": "active"}, as_json=as_json)


@app.command()
def password(login: Login, password_stdin: FromStdin = False, as_json: AsJson = False) -> None:
    """Give the account a password, to be changed at the next sign-in; its sessions end."""
    given = _password(from_stdin=password_stdin)
    with opened_hub() as hub:
        people.set_password(hub, operator(hub), login, given)
    show({"login": fold(login), "must_change_password": True}, as_json=as_json)


@app.command()
def totp(
    login: Login,
    confirm: Annotated[str | None, typer.Option(help="The six digits the app shows; asked for from now.")] = None,
    remove: Annotated[bool, typer.Option(help="Stop asking for a second factor: the phone is lost.")] = False,
    as_json: AsJson = False,
) -> None:
    """Set up a second factor: shows a QR code and recovery codes, then `--confirm` one code."""
    with opened_hub() as hub:
        if remove:
            people.remove_totp(hub, operator(hub), login)
            document: dict[str, Any] = {"login": fold(login), "totp_state": "none"}
        elif confirm is not None:
            people.confirm_totp(hub, operator(hub), login, confirm)
            document = {"login": fold(login), "totp_state": "active"}
        else:
            enrolment = people.begin_totp(hub, operator(hub), login)
            document = {"login": fold(login), "totp_state": "pending", "uri": enrolment.uri}
            document["recovery_codes"] = list(enrolment.recovery_codes)
            if not as_json:
                _print_qr(enrolment.uri)
    show(document, as_json=as_json)


@app.command("sign-on")
def sign_on(
    login: Login,
    forget: Annotated[bool, typer.Option("--forget", help="Tie it to whomever the provider names next.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say how the account signs in; `--forget` when the provider gave the login to somebody else, and that is right."""
    with opened_hub() as hub:
        if forget:
            people.forget_sign_on(hub, operator(hub), login)
        with hub.database.unit() as uow:
            found = people.get_person(uow, operator(hub), login)
    words = ("login", "has_password", "signs_on", "totp_state", "signed_in_at")
    show({word: found[word] for word in words}, as_json=as_json)


@app.command()
def unlock(login: Login, as_json: AsJson = False) -> None:
    """Let an account try again at once after too many failed sign-ins."""
    with opened_hub() as hub:
        had_failures = people.unlock(hub, operator(hub), login)
    show({"login": fold(login), "had_failures": had_failures}, as_json=as_json)


def _password(*, from_stdin: bool) -> str:
    """From stdin or a prompt that does not show it; never from the arguments, which every process may read."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise RejectedError("there is no terminal to ask on; send the password with --password-stdin", code="password")
    given: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return given


def _print_qr(uri: str) -> None:
    import segno

    segno.make(uri, error="m").terminal(out=sys.stdout, compact=True)
