"""Points: one ledger for every programme of a group; how points are earned, spent, exchanged and settled.

earn, claw_back    what a sale earns, and what its returns take back
spend, refund      goods of a supplier for points, and their points back
exchange           into another programme, into an outside unit, or from one
expire             what was due by a business date
take_in            an entry of a source that the ledger refused
"""

from typing import Final

from flows.points.claw_back import CLAW_BACK_POINTS
from flows.points.earn import EARN_POINTS
from flows.points.exchange import EXCHANGE_POINTS
from flows.points.expire import EXPIRE_POINTS
from flows.points.refund import REFUND_POINTS
from flows.points.spend import SPEND_POINTS
from flows.points.take_in import TAKE_IN_POINTS

FLOWS: Final = (
    EARN_POINTS,
    CLAW_BACK_POINTS,
    SPEND_POINTS,
    REFUND_POINTS,
    EXCHANGE_POINTS,
    EXPIRE_POINTS,
    TAKE_IN_POINTS,
)
