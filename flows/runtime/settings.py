"""Every setting of the hub; the only module that reads the environment.

Each field is ``YIPAN_<NAME>`` in the environment. See docs/configuration.md.
"""

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from canonical_model.errors import ConfigurationError

MAX_SECRET_BYTES: Final = 64 * 1024


class Settings(BaseSettings):
    """What a deployment may set. Unset means embedded: PostgreSQL and broker inside the process's own folder."""

    model_config = SettingsConfigDict(env_prefix="YIPAN_", frozen=True, extra="ignore")

    data_dir: Path = Path(".yipan")
    database_url: SecretStr | None = None
    database_pool: Annotated[int, Field(ge=2, le=200)] = 16
    broker_url: SecretStr | None = None
    estate: Path = Path("estate.toml")
    master_key: str = "file:{data_dir}/master.key"
    otlp_endpoint: str | None = None
    service_name: str = "yipan"

    workers: Annotated[int, Field(ge=1, le=256)] = 8
    lease_s: Annotated[float, Field(ge=1, le=3600)] = 30.0
    sweep_s: Annotated[float, Field(ge=0.05, le=600)] = 1.0
    claim_size: Annotated[int, Field(ge=1, le=1000)] = 8

    max_body_bytes: Annotated[int, Field(gt=0)] = 16 * 1024 * 1024
    wait_s: Annotated[float, Field(gt=0, le=60)] = 10.0
    public_url: Annotated[str, Field(pattern=r"^https?://[^/?#@\s]+/?$")] | None = None
    trusted_proxies: Annotated[str, Field(pattern=r"^[0-9A-Fa-f.:/, ]+$")] | None = None
    log_level: str = "INFO"

    session_s: Annotated[float, Field(ge=60, le=30 * 24 * 3600)] = 12 * 3600.0
    session_idle_s: Annotated[float, Field(ge=60, le=24 * 3600)] = 3600.0
    oidc_issuer: str | None = None
    oidc_client_id: str | None = None
    oidc_client_secret: str | None = None
    oidc_scopes: str = "openid profile email"
    oidc_login_claim: str = "preferred_username"
    oidc_role_claim: str | None = None
    oidc_roles: Mapping[str, str] = {}


@cache
def get_settings() -> Settings:
    """The settings of this process, read once. ConfigurationError names the first variable that is wrong."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = f"YIPAN_{str(first['loc'][0]).upper()}"
        raise ConfigurationError(f"{name}: {first['msg']}; correct it", key=name) from error


def resolve_secret(reference: str) -> str:
    """The secret behind ``env:NAME`` or ``file:/path``, without blanks around it.

    ConfigurationError names the reference when nothing, or nothing usable, is there.
    """
    scheme, _, place = reference.partition(":")
    if scheme == "env":
        value = os.environ.get(place, "")
    elif scheme == "file":
        value = _read_secret(Path(place))
    else:
        raise ConfigurationError("a secret is written as env:NAME or file:/path, never as its value")
    if not value.strip():
        raise ConfigurationError(f"{reference} is empty or missing; put the secret there", key=reference)
    return value.strip()


def _read_secret(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SECRET_BYTES + 1)
        if len(content) > MAX_SECRET_BYTES:
            raise ConfigurationError(f"file:{path} is over {MAX_SECRET_BYTES} bytes; a secret is short")
        return content.decode("utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"file:{path} cannot be read as text ({type(error).__name__})") from error
