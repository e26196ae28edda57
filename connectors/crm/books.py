"""What the CRM's own books say, read over its protocol: the other side of a reconciliation."""

from collections.abc import Iterator
from typing import Any, Final

from canonical_model.ports import SystemConfig
from connectors.crm.client import CrmClient

TIMEOUT_S: Final = 10.0


class CrmBooks:
    """Reads every row, page by page, in the CRM's own words. Raises TransientError, RejectedError."""

    def __init__(self, config: SystemConfig) -> None:
        self._client = CrmClient(config, timeout_s=TIMEOUT_S)

    def members(self) -> Iterator[dict[str, Any]]:
        """Every member, deleted and test ones too: ``memberId, cardNo, memberName, gradeCode, modifyTime`` and more."""
        return self._client.rows("QueryMembers", "member")

    def points(self) -> Iterator[dict[str, Any]]:
        """Every movement of points: ``flowNo, cardNo, accountType, points, happenTime`` and more."""
        return self._client.rows("QueryPoints", "flow")
