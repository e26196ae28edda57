"""One stock (一盘货): every order served from the whole pool, no unit promised twice.

fulfil_order ──children──> ship_parcel        one run a parcel
cancel_order ──children──> recall_parcel      the buyer changed their mind
resolve_shortfall ─children─> recall_parcel   goods we promised are not there
"""

from typing import Final

from flows.one_stock.fulfil_order import FULFIL_ORDER
from flows.one_stock.recall import CANCEL_ORDER, RECALL_PARCEL, RESOLVE_SHORTFALL
from flows.one_stock.ship_parcel import SHIP_PARCEL

FLOWS: Final = (FULFIL_ORDER, SHIP_PARCEL, CANCEL_ORDER, RECALL_PARCEL, RESOLVE_SHORTFALL)
