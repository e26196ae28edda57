"""An estate file says what is connected; every mistake names file and key."""

from collections.abc import Callable
from pathlib import Path

import pytest

from canonical_model.errors import ConfigurationError, NotFoundError
from flows.runtime.estate import Estate

Write = Callable[[str], Path]

GOOD = """
owner = "yunshang"
brand = "yunshang"
erp = "sap"

[systems.shop]
connector = "hub"

[systems.warehouse]
connector = "wms"
zone = "Asia/Shanghai"
settings = { base_url = "http://127.0.0.1:9", customer_id = "yunshang" }
secrets = { app_secret = "env:TEST_WMS_SECRET" }

[systems.sap]
connector = "sap"
settings = { base_url = "http://127.0.0.1:9", client = "100", user = "HUB", sales_area = "1000/10/00" }
secrets = { password = "file:SECRET_FILE" }

[[authority]]
kind = "warehouse"
codes = ["W9"]
system = "sap"

[[authority]]
kind = "warehouse"
system = "warehouse"
fulfilled_by = "warehouse"
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.setenv("TEST_WMS_SECRET", "s3cret-of-wms")
    (tmp_path / "password").write_text("s3cret-of-sap\n")

    def _write(text: str) -> Path:
        path = tmp_path / "estate.toml"
        path.write_text(text.replace("SECRET_FILE", str(tmp_path / "password")))
        return path

    return _write


def test_secrets_are_read_from_where_the_references_point(write: Write) -> None:
    estate = Estate.load(write(GOOD))
    assert estate.systems == ("sap", "shop", "warehouse")
    assert estate.connector("warehouse").config.secrets == {"app_secret": "s3cret-of-wms"}
    assert estate.connector("sap").config.secrets == {"password": "s3cret-of-sap"}
    assert "s3cret" not in repr(estate)


def test_the_first_authority_that_matches_counts(write: Write) -> None:
    estate = Estate.load(write(GOOD))
    assert estate.authority("warehouse", "W9").system == "sap"
    assert estate.authority("warehouse", "W1").fulfilled_by == "warehouse"
    with pytest.raises(ConfigurationError, match=r"no \[\[authority\]\] matches the store 'S1'"):
        estate.authority("store", "S1")


def test_writers_are_found_by_system_and_name(write: Write) -> None:
    estate = Estate.load(write(GOOD))
    assert estate.writer("warehouse.delivery_order").system == "warehouse"
    assert estate.find_writer(estate.erp, "sales_order") == "sap.sales_order"
    assert estate.find_writer("shop", "order_status") is None
    assert estate.find_writer(None, "sales_order") is None
    with pytest.raises(NotFoundError, match=r"no writer 'wms\.nothing'.*warehouse\.delivery_order"):
        estate.writer("wms.nothing")


def test_an_unknown_system_or_stream_names_those_that_exist(write: Write) -> None:
    estate = Estate.load(write(GOOD))
    with pytest.raises(NotFoundError, match="no system 'pos2' is connected; there are sap, shop, warehouse"):
        estate.connector("pos2")
    with pytest.raises(NotFoundError, match="shop has no stream 'nothing'; it has orders, products, locations"):
        estate.stream("shop", "nothing")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('owner = "yunshang"', "", r"estate\.toml: owner: Field required"),
        (
            'connector = "wms"',
            'connector = "vms"',
            r"systems\.warehouse\.connector: there is no connector 'vms'; there are ",
        ),
        ('zone = "Asia/Shanghai"', 'zone = "Asia/Peking"', r"systems\.warehouse\.zone: .*unknown zone 'Asia/Peking'"),
        ('zone = "Asia/Shanghai"', 'zzone = "x"', r"systems\.warehouse\.zzone: Extra inputs"),
        ("env:TEST_WMS_SECRET", "env:NOT_THERE", r"systems\.warehouse\.secrets\.app_secret: env:NOT_THERE is empty"),
        ("env:TEST_WMS_SECRET", "plain-secret", r"secrets\.app_secret: a secret is written as env:NAME or file:/path"),
        ('customer_id = "yunshang"', 'customer = "x"', r"'warehouse' lacks settings\.customer_id"),
        ('fulfilled_by = "warehouse"', 'fulfilled_by = "wms9"', r"authority\.1\.fulfilled_by: 'wms9' is not connected"),
        ('erp = "sap"', 'erp = "sap2"', r"erp: 'sap2' is not connected"),
        ('kind = "warehouse"', 'kind = "hotel"', r"authority\.0\.kind"),
        ("[systems.shop]", "[systems.Shop]", r"systems\.Shop"),
        ("[systems.shop]", "[systems.shop", r"estate\.toml is not TOML"),
    ],
)
def test_a_mistake_names_the_file_and_the_key(write: Write, old: str, new: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        Estate.load(write(GOOD.replace(old, new, 1)))
    assert "plain-secret" not in caught.value.detail


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="YIPAN_ESTATE"):
        Estate.load(tmp_path / "none.toml")
