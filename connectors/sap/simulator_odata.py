"""OData V2 over SQLite views: $metadata, $filter, $orderby, $select, $top, $skip, $inlinecount, server paging."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from lxml import etree

from connectors.kit.books import Books

EDMX: Final = "http://schemas.microsoft.com/ado/2007/06/edmx"
EDM: Final = "http://schemas.microsoft.com/ado/2008/09/edm"
METADATA: Final = "http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"

_TOKEN: Final = re.compile(r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<word>[A-Za-z_]\w*)|(?P<bracket>[()]))")
_KEY: Final = re.compile(r"(\w+)='((?:[^']|'')*)'")
_COMPARE: Final = {"eq": "=", "ne": "<>"}
_MAX_FILTER: Final = 4000


class EntitySet(NamedTuple):
    """One set of a service; the view of the same name has a column for each property. Key properties come first."""

    service: str
    name: str
    keys: int
    properties: Mapping[str, str]

    @property
    def path(self) -> str:
        return f"/sap/opu/odata/sap/{self.service}/{self.name}"


class QueryError(ValueError):
    """The query asks for what the set does not have."""


STOCK: Final = EntitySet(
    "API_MATERIAL_STOCK_SRV",
    "A_MatlStkInAcctMod",
    11,
    {
        **dict.fromkeys(("Material", "Plant", "StorageLocation", "Batch", "Supplier", "Customer"), "Edm.String"),
        **dict.fromkeys(("WBSElementInternalID", "SDDocument", "SDDocumentItem"), "Edm.String"),
        **dict.fromkeys(("InventorySpecialStockType", "InventoryStockType", "MaterialBaseUnit"), "Edm.String"),
        "MatlWrhsStkQtyInMatlBaseUnit": "Edm.Decimal",
    },
)
ORDERS: Final = EntitySet(
    "API_SALES_ORDER_SRV",
    "A_SalesOrder",
    1,
    {
        **dict.fromkeys(("SalesOrder", "SalesOrderType", "SalesOrganization", "DistributionChannel"), "Edm.String"),
        **dict.fromkeys(("OrganizationDivision", "SoldToParty", "PurchaseOrderByCustomer"), "Edm.String"),
        "PurchaseOrderByShipToParty": "Edm.String",
        "CustomerPurchaseOrderDate": "Edm.DateTime",
        "CreationDate": "Edm.DateTime",
        "TotalNetAmount": "Edm.Decimal",
        "TransactionCurrency": "Edm.String",
        "OverallSDDocumentRejectionSts": "Edm.String",
    },
)
ITEMS: Final = EntitySet(
    "API_SALES_ORDER_SRV",
    "A_SalesOrderItem",
    2,
    {
        **dict.fromkeys(("SalesOrder", "SalesOrderItem", "PurchaseOrderByCustomer"), "Edm.String"),
        **dict.fromkeys(("UnderlyingPurchaseOrderItem", "Material", "RequestedQuantityUnit"), "Edm.String"),
        "RequestedQuantity": "Edm.Decimal",
        "NetAmount": "Edm.Decimal",
        **dict.fromkeys(("TransactionCurrency", "ProductionPlant", "StorageLocation"), "Edm.String"),
        "SalesDocumentRjcnReason": "Edm.String",
    },
)
SETS: Final = (STOCK, ORDERS, ITEMS)


def select(
    books: Books, entity: EntitySet, options: Mapping[str, str], *, base_url: str, page_rows: int
) -> dict[str, Any]:
    """The ``d`` of an answer, at most ``page_rows`` rows and then a ``__next`` link. QueryError for a wrong query."""
    where, values = _where(entity, options.get("$filter", ""))
    order = _order(entity, options.get("$orderby", ""))
    wanted = _properties(entity, options["$select"].split(",")) if options.get("$select") else list(entity.properties)
    skip, top = _whole(options, "$skip", 0), _whole(options, "$top", None)
    offset = _whole(options, "$skiptoken", 0) or 0
    left = page_rows if top is None else max(top - offset, 0)
    count = min(left, page_rows)
    rows = books.rows(
        f"SELECT * FROM {entity.name} WHERE {where} ORDER BY {order} LIMIT ? OFFSET ?",  # noqa: S608 - names checked
        *values,
        count + 1,
        (skip or 0) + offset,
    )
    answer: dict[str, Any] = {"results": [_entity(entity, row, wanted, base_url) for row in rows[:count]]}
    if options.get("$inlinecount") == "allpages":
        total = books.number(f"SELECT count(*) FROM {entity.name} WHERE {where}", *values)  # noqa: S608 - names checked
        answer["__count"] = str(total)
    if len(rows) > count and (top is None or offset + count < top):
        following = {**options, "$skiptoken": str(offset + count)}
        answer["__next"] = f"{base_url}{entity.path}?{urlencode(following)}"
    return answer


def find(books: Books, entity: EntitySet, keys: Mapping[str, str], *, base_url: str) -> dict[str, Any] | None:
    """The entity of ``keys`` as an answer shows it, or None."""
    where = " AND ".join(f"{name} = ?" for name in _properties(entity, keys))
    row = books.find(f"SELECT * FROM {entity.name} WHERE {where}", *keys.values())  # noqa: S608 - names checked
    return None if row is None else _entity(entity, row, list(entity.properties), base_url)


def parse_resource(resource: str) -> tuple[str, dict[str, str]]:
    """``A_SalesOrderItem(SalesOrder='1',SalesOrderItem='10')`` as a name and its keys; a lone key is SalesOrder."""
    name, _, inside = resource.partition("(")
    keys = {key: value.replace("''", "'") for key, value in _KEY.findall(inside)}
    lone = inside.removesuffix(")")
    if lone and not keys:
        keys = {"SalesOrder": lone.strip("'")}
    return name, keys


def metadata(service: str) -> bytes:
    """The EDMX of what is served."""
    edmx = etree.Element(f"{{{EDMX}}}Edmx", {"Version": "1.0"}, nsmap={"edmx": EDMX, "m": METADATA})
    services = etree.SubElement(edmx, f"{{{EDMX}}}DataServices", {f"{{{METADATA}}}DataServiceVersion": "2.0"})
    schema = etree.SubElement(services, f"{{{EDM}}}Schema", {"Namespace": service}, nsmap={None: EDM})  # type: ignore[dict-item]
    container = etree.Element(f"{{{EDM}}}EntityContainer", {"Name": f"{service}_Entities"})
    for entity in (entity for entity in SETS if entity.service == service):
        kind = etree.SubElement(schema, f"{{{EDM}}}EntityType", {"Name": f"{entity.name}Type"})
        key = etree.SubElement(kind, f"{{{EDM}}}Key")
        for name in list(entity.properties)[: entity.keys]:
            etree.SubElement(key, f"{{{EDM}}}PropertyRef", {"Name": name})
        for name, edm_type in entity.properties.items():
            etree.SubElement(kind, f"{{{EDM}}}Property", {"Name": name, "Type": edm_type})
        named = {"Name": entity.name, "EntityType": f"{service}.{entity.name}Type"}
        etree.SubElement(container, f"{{{EDM}}}EntitySet", named)
    schema.append(container)
    return etree.tostring(edmx, xml_declaration=True, encoding="UTF-8")


def _entity(entity: EntitySet, row: Mapping[str, Any], wanted: list[str], base_url: str) -> dict[str, Any]:
    keys = ",".join(f"{name}='{row[name]}'" for name in list(entity.properties)[: entity.keys])
    uri = f"{base_url}{entity.path}({keys})"
    about = {"id": uri, "uri": uri, "type": f"{entity.service}.{entity.name}Type"}
    return {"__metadata": about, **{name: _value(entity.properties[name], row[name]) for name in wanted}}


def _value(edm_type: str, value: Any) -> Any:
    return f"/Date({value})/" if edm_type == "Edm.DateTime" else value


def _properties(entity: EntitySet, names: Any) -> list[str]:
    for name in names:
        if name not in entity.properties:
            raise QueryError(f"Property {name} not found in type {entity.name}Type")
    return list(names)


def _order(entity: EntitySet, text: str) -> str:
    """SQL of ``$orderby``; the keys always settle the rest, so that pages do not overlap."""
    parts = [part.split() for part in text.split(",") if part.strip()]
    _properties(entity, [part[0] for part in parts])
    asked = [f"{part[0]} {'DESC' if part[1:] == ['desc'] else 'ASC'}" for part in parts]
    return ", ".join([*asked, *list(entity.properties)[: entity.keys]])


def _whole(options: Mapping[str, str], name: str, default: int | None) -> int | None:
    value = options.get(name)
    if value is None:
        return default
    if not value.isdecimal():
        raise QueryError(f"Invalid value for {name}")
    return int(value)


def _where(entity: EntitySet, text: str) -> tuple[str, list[str]]:
    """SQL and values of ``$filter``: comparisons by eq and ne, joined by and, or and brackets."""
    if not text.strip():
        return "1 = 1", []
    if len(text) > _MAX_FILTER:
        raise QueryError("The filter is too long")
    tokens = _tokens(text)
    parser = _Filter(entity, tokens)
    sql = parser.disjunction()
    if parser.position != len(tokens):
        raise QueryError(f"Syntax error at token {parser.position}")
    return sql, parser.values


def _tokens(text: str) -> list[str]:
    tokens, position = [], 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None:
            raise QueryError(f"Syntax error at position {position}")
        tokens.append(match[0].strip())
        position = match.end()
    return tokens


class _Filter:
    """A recursive-descent parser that writes SQL with placeholders."""

    def __init__(self, entity: EntitySet, tokens: list[str]) -> None:
        self._entity = entity
        self._tokens = tokens
        self.position = 0
        self.values: list[str] = []

    def disjunction(self) -> str:
        return self._joined("or", self._conjunction)

    def _conjunction(self) -> str:
        return self._joined("and", self._term)

    def _joined(self, word: str, part: Callable[[], str]) -> str:
        parts = [part()]
        while self._peek() == word:
            self._take()
            parts.append(part())
        return f" {word.upper()} ".join(parts)

    def _term(self) -> str:
        if self._peek() == "(":
            self._take()
            inside = self.disjunction()
            if self._take() != ")":
                raise QueryError("A bracket is not closed")
            return f"({inside})"
        (name,) = _properties(self._entity, [self._take()])
        operator, value = self._take(), self._take()
        if operator not in _COMPARE or not value.startswith("'"):
            raise QueryError(f"Only eq and ne with a text are served, not {operator} {value}")
        self.values.append(value[1:-1].replace("''", "'"))
        return f"{name} {_COMPARE[operator]} ?"

    def _peek(self) -> str:
        return self._tokens[self.position] if self.position < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._peek()
        self.position += 1
        return token
