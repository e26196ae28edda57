"""The WSDL as a caller gets it: with the address that it was asked at."""

from functools import lru_cache
from typing import Final

from lxml import etree

from hub_api.soap.records import WSDL

_ADDRESSES: Final = "{*}service/{*}port/{*}address"


@lru_cache(maxsize=16)
def describe(url: str) -> bytes:
    """The WSDL whose ports answer at ``url``."""
    root = etree.parse(str(WSDL)).getroot()
    for address in root.iterfind(_ADDRESSES):
        address.set("location", url)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")
