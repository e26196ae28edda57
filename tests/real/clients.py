"""The clients, each as its own documentation uses it: from requests to what came of each."""

import json
import logging
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import suds.client  # type: ignore[import-untyped]
import suds.wsse  # type: ignore[import-untyped]
import zeep
import zeep.helpers
from lxml import etree
from zeep.wsse.username import UsernameToken

from tests.real.conftest import USER, Served

HERE: Final = Path(__file__).parent
TIMEOUT_S: Final = 100


@dataclass(frozen=True)
class Outcome:
    """The answer as plain values, or the fault's text with all its details."""

    answer: dict[str, Any] | None = None
    fault: str | None = None


Client = Callable[[Served, str, list[dict[str, Any]]], list[Outcome]]


def lacks_node_soap() -> bool:
    """Whether node-soap is absent."""
    return shutil.which("node") is None or not (HERE / "node" / "node_modules" / "soap").exists()


def lacks_php_soap() -> bool:
    """Whether PHP's SoapClient is absent."""
    php = shutil.which("php")
    if php is None:
        return True
    return "soap" not in subprocess.run([php, "-m"], capture_output=True, text=True, check=False).stdout.split()


def by_zeep(hub: Served, version: str, requests: list[dict[str, Any]]) -> list[Outcome]:
    """zeep, with a digest."""
    token: Any = UsernameToken
    connect: Any = zeep.Client
    plain: Any = zeep.helpers.serialize_object
    client = connect(hub.wsdl, wsse=token(USER, hub.password, use_digest=True))
    service = client.bind("HubService", f"HubSoap{version.replace('.', '')}")
    outcomes = []
    for request in requests:
        items = [_skipping(item) for item in request["item"]]
        try:
            answer = service.PushProducts(messageId=request["messageId"], item=items)
            outcomes.append(Outcome(plain(answer, dict)))
        except zeep.exceptions.Fault as fault:
            detail = etree.tostring(fault.detail, encoding="unicode") if fault.detail is not None else ""
            outcomes.append(Outcome(fault=f"{fault.message} {detail}"))
    return outcomes


def _skipping(item: dict[str, Any]) -> dict[str, Any]:
    """zeep checks for itself that nothing is missing; this sends the item all the same."""
    return {"spu": zeep.xsd.SkipValue, **item}


def by_suds(hub: Served, version: str, requests: list[dict[str, Any]]) -> list[Outcome]:
    """suds, with the password as text."""
    logging.getLogger("suds").setLevel(logging.CRITICAL)
    client: Any = suds.client.Client(hub.wsdl, cache=None, timeout=TIMEOUT_S)
    security = suds.wsse.Security()
    security.tokens.append(suds.wsse.UsernameToken(USER, hub.password))
    client.set_options(wsse=security, port=f"HubSoap{version.replace('.', '')}")
    outcomes = []
    for request in requests:
        try:
            answer = client.service.PushProducts(messageId=request["messageId"], item=request["item"])
            outcomes.append(Outcome(_plain(answer)))
        except suds.WebFault as fault:
            outcomes.append(Outcome(fault=str(fault.document)))
    return outcomes


def _plain(value: Any) -> Any:
    if isinstance(value, suds.sudsobject.Object):
        return {name: _plain(inner) for name, inner in suds.sudsobject.items(value)}
    return [_plain(each) for each in value] if isinstance(value, list) else value


def by_node(hub: Served, version: str, requests: list[dict[str, Any]]) -> list[Outcome]:
    """node-soap, with a digest."""
    return _run(["node", str(HERE / "node" / "push.js")], hub, version, requests, user=USER, password=hub.password)


def by_php(hub: Served, version: str, requests: list[dict[str, Any]]) -> list[Outcome]:
    """PHP's SoapClient, with a key for SOAP 1.1 and the password as text for 1.2."""
    shown = {"key": hub.key} if version == "1.1" else {"user": USER, "password": hub.password}
    # PHP refuses to send a request that lacks a field; one that is null it sends as nil.
    complete = [request | {"item": [{"spu": None, **item} for item in request["item"]]} for request in requests]
    return _run(["php", str(HERE / "php" / "push.php")], hub, version, complete, **shown)


def _run(command: list[str], hub: Served, version: str, requests: list[dict[str, Any]], **shown: str) -> list[Outcome]:
    job = {"wsdl": hub.wsdl, "version": version, "operation": "PushProducts", "requests": requests, **shown}
    ended = subprocess.run(
        command, input=json.dumps(job), capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert ended.returncode == 0, f"{ended.stdout[:2_000]}{ended.stderr[:2_000]}"
    return [Outcome(**outcome) for outcome in json.loads(ended.stdout)]
