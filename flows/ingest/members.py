"""Members of a message: what is personal sealed under the key of its inbox record, so that it is erased with it."""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from canonical_model.errors import Issue
from canonical_model.member import is_mobile, plain_mobile
from canonical_model.store import members
from flows.ingest.batch import Batch, Ignored, Outcome, Refusal, Values
from flows.ingest.intake import Intake
from flows.ingest.telling import mobiles_in
from flows.runtime.database import UnitOfWork
from flows.runtime.sealing import Sealed, Secret

PERSONAL: Final = ("name", "mobile", "extensions")
OPEN: Final = ("code", "level", "home_store")


def apply_members(uow: UnitOfWork, intake: Intake, batch: Batch, values: Values) -> Outcome:
    """Create or update the members; an older state than the one known is ignored."""
    outcome = Outcome(
        refused={index: refusal for index, value in values.items() if (refusal := _exposed(intake, value))}
    )
    indexes = [index for index in values if index not in outcome.refused]
    sealed = _seal(uow, batch, {index: values[index] for index in indexes})
    new = [_new_member(uow, values[index], sealed[index]) for index in indexes]
    upserted = members.upsert_members(uow.connection, new)
    outcome.refused |= {indexes[position]: _taken(values[indexes[position]]) for position in upserted.taken}
    outcome.ignored |= {indexes[position]: Ignored.STALE for position in upserted.stale}
    outcome.linked = bool(upserted.linked)
    return outcome


def erase_member(uow: UnitOfWork, owner: str, brand: str, member_id: int) -> int:
    """Destroy the keys of every record about the member, wherever copies lie; how many. NotFoundError if unknown.

    Records that still wait in quarantine are reached by the mobile number they were sealed for.
    """
    row = members.get_member(uow.connection, owner, brand, member_id)
    vault = uow.services.vault
    destroyed = vault.destroy_keys(uow.connection, members.list_keys(uow.connection, member_id))
    if row["mobile_token"] is not None:
        destroyed += vault.destroy(uow.connection, row["mobile_token"])
        members.forget_mobile(uow.connection, member_id)
    return destroyed


def _exposed(intake: Intake, value: Mapping[str, Any]) -> Refusal | None:
    """The refusal of a member whose open words are or hold a mobile number, which would then lie open with them.

    Of a discreet intake, any word that holds one is refused, theirs or not: the answer would tell which is theirs.
    """
    mobile = plain_mobile(value["mobile"] or "")

    def is_told(word: str) -> bool:
        return bool(mobiles_in(word)) if intake.discreet else bool(mobile) and mobile in plain_mobile(word)

    open_words = {"id": value["source"]["id"], **{name: value[name] or "" for name in OPEN}}
    issues = tuple(
        Issue(name, "member.named_by_mobile", "holds a mobile number, which is personal; name members by another one")
        for name, word in open_words.items()
        if is_mobile(word) or is_told(word)
    )
    return Refusal(issues) if issues else None


def _seal(uow: UnitOfWork, batch: Batch, values: Values) -> dict[int, Sealed]:
    """What is personal in each value; under new keys where the stream itself is not personal."""
    vault = uow.services.vault
    plain = {index: orjson.dumps({name: value[name] for name in PERSONAL}) for index, value in values.items()}
    if batch.sealed is None:
        tokens = {index: _mobile_token(uow, value) for index, value in values.items()}
        secrets = [Secret(content, tokens[index]) for index, content in plain.items()]
        return dict(zip(plain, vault.seal_many(uow.connection, secrets), strict=True))
    items = [(batch.sealed[index].key_id, content) for index, content in plain.items()]
    contents = vault.seal_many_under(uow.connection, items)
    return {i: Sealed(key_id, c) for i, (key_id, _), c in zip(plain, items, contents, strict=True)}


def _new_member(uow: UnitOfWork, value: Mapping[str, Any], sealed: Sealed) -> members.NewMember:
    return members.NewMember(value, sealed.content, sealed.key_id, _mobile_token(uow, value))


def _mobile_token(uow: UnitOfWork, value: Mapping[str, Any]) -> str | None:
    return uow.services.vault.token(value["mobile"]) if value["mobile"] else None


def _taken(value: Mapping[str, Any]) -> Refusal:
    detail = f"{value['code']!r} already names another member of this system; correct one of the two at the source"
    return Refusal((Issue("code", "crosswalk.taken", detail),))
