"""What the voucher supplier wants said in a way no table can."""

from typing import Any

from mappings.context import ConvertError, MapContext
from mappings.converters import text


def area(value: Any, context: MapContext) -> str:
    """The supplier's area of a GB/T 2260 code: the province's two digits."""
    code = text(value, context)
    if len(code) < 2 or not (code.isascii() and code.isdecimal()):
        raise ConvertError("region.unknown", "is no GB/T 2260 code; give the code of the district, city or province")
    return code[:2]
