"""What steps may use beside the database."""

from dataclasses import dataclass

from flows.runtime.estate import Estate
from flows.runtime.sealing import Vault


@dataclass(frozen=True, slots=True)
class Services:
    """The connected systems, and the vault of personal data."""

    estate: Estate
    vault: Vault
