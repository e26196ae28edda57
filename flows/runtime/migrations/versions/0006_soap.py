"""Accounts and nonces of the SOAP door."""

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Nothing yet."""
