"""The OpenAPI document, made whole: every refusal that an operation may give, said once for all of them.

A route names only the refusals that its form does not tell: ``responses=refuses(409)``.
"""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from importlib.resources import files
from typing import Any, Final

import orjson
from fastapi import FastAPI
from pydantic import BaseModel, Field

from hub_api.rest.problems import MEDIA_TYPE, TYPE_PREFIX

SCHEMAS: Final = "#/components/schemas/"
RESPONSES: Final = "#/components/responses/"
PROBLEM: Final = {"$ref": SCHEMAS + "Problem"}
SENT: Final = "Sent"
SENT_ORDER: Final = {"$ref": f"{SCHEMAS}{SENT}Order"}
FRAMEWORKS_OWN: Final = ("HTTPValidationError", "ValidationError")

REASONS: Final[Mapping[int, str]] = {
    400: "The body ended early; send the whole of it.",
    401: "No API key in force came with the request.",
    403: "The key lacks the scope, or belongs to another brand.",
    404: "Nothing is known under that name.",
    408: "The body came too slowly; send smaller batches.",
    409: "The present state, or an earlier use of the same key, does not allow it.",
    413: "The body is too long; send smaller batches.",
    415: "The body is of a kind that is not taken, or compressed.",
    422: "Something in the request cannot be; `errors` names each field.",
    429: "Too many of these in a short time; wait.",
    500: "Something unexpected happened; `error_id` finds it in the hub's log.",
    503: "Not now; the same again after `Retry-After` seconds.",
}
_HEADERS: Final[Mapping[int, Mapping[str, Any]]] = {
    401: {"WWW-Authenticate": {"required": True, "schema": {"const": "Bearer"}}},
    503: {"Retry-After": {"required": True, "schema": {"type": "integer", "minimum": 1}}},
}


class FieldError(BaseModel):
    """One thing wrong with one field; an empty ``field`` means the whole."""

    field: str
    code: str
    detail: str


class Problem(BaseModel):
    """Why the answer is no (RFC 9457). ``code`` is the exact case, ``detail`` says what to do next."""

    type: str = Field(pattern=f"^{TYPE_PREFIX}[a-z-]+$")
    title: str
    status: int
    code: str
    detail: str
    errors: list[FieldError] = Field(default=[], description="Each thing that is wrong, where several may be.")
    error_id: str = Field(default="", description="Of what was unexpected: finds it in the hub's log.")
    message_id: str = Field(default="", description="Of a document that cannot be read: where it is kept.")


class DescribedApi(FastAPI):
    """An application whose document tells what it refuses."""

    def openapi(self) -> dict[str, Any]:
        """The document, made once."""
        document = super().openapi()
        if "responses" not in document["components"]:
            complete(document)
        return document


def refuses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For ``responses=`` of a route: it may also be refused with these."""
    return {status: {"description": HTTPStatus(status).phrase} for status in statuses}


def complete(document: dict[str, Any]) -> None:
    """Give every operation its refusals, in place."""
    components = document["components"]
    for name in FRAMEWORKS_OWN:
        components["schemas"].pop(name, None)
    parts = Problem.model_json_schema(ref_template=SCHEMAS + "{model}")
    components["schemas"] |= parts.pop("$defs") | {"Problem": parts} | _contract_of_orders()
    components["responses"] = {f"Problem{status}": _response(status) for status in REASONS}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            answers = operation["responses"]
            refusals = {*_implied(path, operation), *(int(word) for word in answers if int(word) >= 400)}
            for status in sorted(refusals):
                if not _answers_otherwise(answers.get(str(status), {})):
                    answers[str(status)] = {"$ref": f"{RESPONSES}Problem{status}"}


def _contract_of_orders() -> dict[str, Any]:
    """The schema of an order as a channel sends it, and of its parts, under names of their own."""
    text = files("connectors.hub").joinpath("schemas", "orders.json").read_text("utf-8")
    whole: dict[str, Any] = orjson.loads(text.replace("#/$defs/", SCHEMAS + SENT))
    del whole["$schema"]
    return {SENT + name: part for name, part in whole.pop("$defs").items()} | {f"{SENT}Order": whole}


def _implied(path: str, operation: Mapping[str, Any]) -> Iterator[int]:
    """The refusals that follow from what an operation takes."""
    yield from (500, 503)
    if "security" in operation:
        yield from (401, 403, 422)
    if "{" in path:
        yield from (404, 422)
    if "requestBody" in operation:
        yield from (400, 408, 413, 415, 422)


def _answers_otherwise(answer: Mapping[str, Any]) -> bool:
    """Whether the route words this answer itself."""
    schemas = [media.get("schema", {}) for media in answer.get("content", {}).values()]
    return bool(schemas) and {"$ref": SCHEMAS + FRAMEWORKS_OWN[0]} not in schemas


def _response(status: int) -> dict[str, Any]:
    schema = {"allOf": [PROBLEM, {"properties": {"status": {"const": status}}}]}
    answer: dict[str, Any] = {"description": REASONS[status], "content": {MEDIA_TYPE: {"schema": schema}}}
    return answer | ({"headers": dict(_HEADERS[status])} if status in _HEADERS else {})
