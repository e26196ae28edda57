"""Personal data at rest: one data key a record, wrapped by a master key; destroying the data key erases every copy.

Whatever is sealed under one key id (inbox record, quarantined copy, receiver of the order, outgoing body) becomes
unreadable together. Tokens are keyed, so that equal values can be found without being readable.
"""

import base64
import hmac
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from psycopg import Connection
from psycopg.rows import DictRow

from canonical_model.errors import ConfigurationError, NotFoundError
from canonical_model.member import plain_mobile
from flows.runtime.settings import resolve_secret

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
_SENTINEL: Final = "master key check"


@dataclass(frozen=True, slots=True)
class Secret:
    """Something to seal. ``subject``: the token of the person it is about, if known."""

    plain: bytes
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class Sealed:
    """A ciphertext and the id of its data key."""

    key_id: int
    content: bytes


def load_master_key(reference: str, *, create: bool) -> bytes:
    """The 32 bytes behind ``file:`` or ``env:``, written there as base64.

    ``create`` makes a missing file, readable by its owner only. ConfigurationError names the reference.
    """
    if create and reference.startswith("file:"):
        _create_once(Path(reference.removeprefix("file:")))
    text = resolve_secret(reference)
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ConfigurationError(f"{reference} is not base64; write 32 random bytes there as base64") from error
    if len(key) != KEY_BYTES:
        raise ConfigurationError(
            f"{reference} holds {len(key)} bytes, not {KEY_BYTES}; write 32 random bytes as base64"
        )
    return key


class Vault:
    """Seals, opens and erases. Thread-safe; holds the master key in memory only."""

    def __init__(self, master_key: bytes) -> None:
        self._wrapper = AESGCM(_derive(master_key, b"yipan data keys"))
        self._token_key = _derive(master_key, b"yipan tokens")
        self._signing_key = _derive(master_key, b"yipan signatures")

    def token(self, value: str) -> str:
        """A keyed, one-way token: equal values give equal tokens, and only this master key gives them.

        A mobile number is the same value however it is written.
        """
        return hmac.new(self._token_key, plain_mobile(value).encode(), sha256).hexdigest()

    def sign(self, text: str) -> str:
        """A keyed signature of our own statement about our own records; never of a text that somebody sent."""
        return hmac.new(self._signing_key, text.encode(), sha256).hexdigest()

    def check(self, connection: Connection[DictRow]) -> None:
        """ConfigurationError if this is not the master key that the database was first used with."""
        connection.execute("SELECT pg_advisory_xact_lock(7202611220002)")
        found = connection.execute("SELECT wrapped FROM data_key WHERE subject_token = %s", (_SENTINEL,)).fetchone()
        if found is not None:
            self._unwrap(found["wrapped"])
            return
        connection.execute(
            "INSERT INTO data_key (subject_token, wrapped) VALUES (%s, %s)",
            (_SENTINEL, _encrypt(self._wrapper, AESGCM.generate_key(256))),
        )

    def seal(self, connection: Connection[DictRow], plain: bytes, *, subject: str | None = None) -> Sealed:
        """``plain`` under a new data key of its own."""
        (sealed,) = self.seal_many(connection, [Secret(plain, subject)])
        return sealed

    def seal_many(self, connection: Connection[DictRow], items: Sequence[Secret]) -> list[Sealed]:
        """Each item under a new data key of its own, in the same order; one statement however many."""
        keys = [AESGCM.generate_key(256) for _ in items]
        wrapped = [_encrypt(self._wrapper, key) for key in keys]
        rows = connection.execute(
            "INSERT INTO data_key (subject_token, wrapped)"
            " SELECT * FROM unnest(%s::text[], %s::bytea[]) RETURNING id, wrapped",
            ([item.subject for item in items], wrapped),
        )
        ids = {row["wrapped"]: row["id"] for row in rows}
        return [
            Sealed(ids[cover], _encrypt(AESGCM(key), item.plain))
            for item, key, cover in zip(items, keys, wrapped, strict=True)
        ]

    def seal_under(self, connection: Connection[DictRow], key_id: int, plain: bytes) -> bytes:
        """Another ciphertext under an existing data key, to be erased together with it.

        NotFoundError when that key was erased already.
        """
        (content,) = self.seal_many_under(connection, [(key_id, plain)])
        return content

    def seal_many_under(self, connection: Connection[DictRow], items: Sequence[tuple[int, bytes]]) -> list[bytes]:
        """As ``seal_under`` for many (key id, plain) pairs, in the same order; one statement."""
        keys = self._data_keys(connection, [key_id for key_id, _ in items])
        return [_encrypt(AESGCM(_known(keys, key_id)), plain) for key_id, plain in items]

    def open(self, connection: Connection[DictRow], key_id: int, content: bytes) -> bytes:
        """The plain bytes. NotFoundError when the record was erased; ConfigurationError under a wrong master key."""
        keys = self._data_keys(connection, [key_id])
        return _decrypt(AESGCM(_known(keys, key_id)), content)

    def open_json(self, connection: Connection[DictRow], key_id: int, content: bytes) -> Any:
        """As ``open``, for sealed JSON."""
        return orjson.loads(self.open(connection, key_id, content))

    def open_many(self, connection: Connection[DictRow], items: Sequence[Sealed]) -> list[bytes | None]:
        """The plain bytes of each, in the same order; None for an erased one."""
        keys = self._data_keys(connection, [item.key_id for item in items])
        return [_decrypt(AESGCM(keys[item.key_id]), item.content) if item.key_id in keys else None for item in items]

    def destroy(self, connection: Connection[DictRow], subject: str) -> int:
        """Erase every record about that person (a token); how many keys were destroyed."""
        return connection.execute(
            "UPDATE data_key SET wrapped = NULL, destroyed_at = clock_timestamp()"
            " WHERE subject_token = %s AND wrapped IS NOT NULL AND subject_token <> %s",
            (subject, _SENTINEL),
        ).rowcount

    def destroy_keys(self, connection: Connection[DictRow], key_ids: Sequence[int]) -> int:
        """Erase every record sealed under those data keys; how many keys were destroyed."""
        return connection.execute(
            "UPDATE data_key SET wrapped = NULL, destroyed_at = clock_timestamp()"
            " WHERE id = ANY(%s) AND wrapped IS NOT NULL AND subject_token IS DISTINCT FROM %s",
            (list(key_ids), _SENTINEL),
        ).rowcount

    def _data_keys(self, connection: Connection[DictRow], ids: Sequence[int]) -> dict[int, bytes]:
        """The data keys that still exist, by id."""
        rows = connection.execute("SELECT id, wrapped FROM data_key WHERE id = ANY(%s)", (list(ids),))
        return {row["id"]: self._unwrap(row["wrapped"]) for row in rows if row["wrapped"] is not None}

    def _unwrap(self, wrapped: bytes) -> bytes:
        try:
            return _decrypt(self._wrapper, wrapped)
        except InvalidTag as error:
            raise ConfigurationError(
                "the master key is not the one this database was sealed with; set YIPAN_MASTER_KEY to the right one",
                code="master_key.wrong",
                key="YIPAN_MASTER_KEY",
            ) from error


def _known(keys: Mapping[int, bytes], key_id: int) -> bytes:
    if key_id in keys:
        return keys[key_id]
    raise NotFoundError(
        "this record was erased together with the key that opened it; it cannot be brought back",
        code="record.erased",
        key_id=key_id,
    )


def _derive(master_key: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=purpose).derive(master_key)


def _encrypt(cipher: AESGCM, plain: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, plain, None)


def _decrypt(cipher: AESGCM, content: bytes) -> bytes:
    return cipher.decrypt(content[:NONCE_BYTES], content[NONCE_BYTES:], None)


def _create_once(path: Path) -> None:
    """Write a new key unless the file exists; of several processes one wins, and nobody reads half a key."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()
