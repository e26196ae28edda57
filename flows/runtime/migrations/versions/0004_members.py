"""Members and points entries as their sources tell them."""

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Nothing yet."""
