"""Canonical records as a channel sends them."""

from typing import Any


def product(code: str = "TEE-RED-M", **changes: Any) -> dict[str, Any]:
    """A sellable SKU."""
    return {"code": code, "spu": "TEE", "name": "速干短袖", **changes}


def place(code: str = "HZ01", **changes: Any) -> dict[str, Any]:
    """A store in Hangzhou that ships."""
    point = {"lat": 30.2536, "lon": 120.1646}
    return {
        "code": code,
        "name": "杭州湖滨店",
        "kind": "store",
        "point": point,
        "services": ["sell", "ship"],
        **changes,
    }


def order(order_no: str = "M1001", channel: str = "shop", sku: str = "TEE-RED-M", **changes: Any) -> dict[str, Any]:
    """One shirt to be sent home."""
    line = {"line_no": 1, "sku": sku, "quantity": 1, "amount_minor": 9900, **changes.pop("line", {})}
    return {
        "channel": channel,
        "order_no": order_no,
        "seller": channel,
        "placed_at": "2026-03-01T09:30:00+08:00",
        "lines": [line],
        "goods_minor": line["amount_minor"],
        "total_minor": line["amount_minor"],
        "receiver": {
            "name": "陈小一",
            "mobile": "13812345678",
            "city": "杭州市",
            "street": "文三路 1 号",
            "region_code": "330106",
        },
        **changes,
    }
