"""Member: a person known to the retailer under one or more outside names."""

from canonical_model.common import Code, Sourced, Text


class Member(Sourced):
    """One person as one source knows them. Every field but ``code`` and ``level`` is personal."""

    code: Code
    name: Text | None = None
    mobile: Text | None = None
    level: Code | None = None
    home_store: Code | None = None
