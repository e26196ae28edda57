"""Points: one ledger for every programme of a group; how points are earned, spent, exchanged and settled.

earn, claw_back    what a sale earns, and what its returns take back
"""

from typing import Final

from flows.points.claw_back import CLAW_BACK_POINTS
from flows.points.earn import EARN_POINTS

FLOWS: Final = (EARN_POINTS, CLAW_BACK_POINTS)
