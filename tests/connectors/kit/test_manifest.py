"""Manifests and the registry: a mistake names the file and the key."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import connectors
from canonical_model.errors import ConfigurationError
from canonical_model.ports import SystemConfig
from connectors.kit.manifest import load_manifest, load_schemas
from connectors.kit.quality import RULES, quality_problems
from connectors.kit.registry import available, connect

GOOD = """
system = "shop"
title = "Shop"
maintainer = "us"
versions = ["1"]
protocols = ["REST"]
[[streams]]
name = "goods"
entity = "product"
mapping = "goods_in"
schema = "goods.json"
key = "code"
"""


class Folder:
    """A connector package in the making."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, file: str, text: str) -> "Folder":
        path = self.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return self


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Folder]:
    monkeypatch.setattr(connectors, "__path__", [*connectors.__path__, str(tmp_path)])
    folder = Folder(tmp_path / "shop").write("__init__.py", "").write("schemas/goods.json", "{}")
    load_manifest.cache_clear()
    yield folder
    load_manifest.cache_clear()
    for name in [name for name in sys.modules if name.startswith("connectors.shop")]:
        del sys.modules[name]


def config(**more: object) -> SystemConfig:
    return SystemConfig(name="shop", connector="shop", owner="o", brand="b", **more)  # type: ignore[arg-type]


def test_a_good_manifest_is_read(shop: Folder) -> None:
    shop.write("manifest.toml", GOOD)
    assert load_manifest("shop").stream("goods") is not None
    assert load_schemas("shop") == {"goods": {}}
    assert "shop" in available()
    assert connect(config()).readers == {}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('title = "Shop"', "title = 5", "title"),
        ('key = "code"', "", "streams.0.key"),
        ('key = "code"', 'key = "code"\ncolour = "red"', "streams.0.colour"),
        ('entity = "product"', 'entity = "stock"', "streams.goods.stock"),
        ('key = "code"', 'key = "code"\nschedule_s = 5', "schedule_s"),
        ('key = "code"', 'key = "code"\ndirection = "pull"', "schedule_s"),
        ("[[streams]]", "[limits]\ndepth = 9999\n[[streams]]", "limits.depth"),
        ('system = "shop"', "system = shop", "not TOML"),
    ],
)
def test_a_mistake_names_file_and_key(shop: Folder, old: str, new: str, said: str) -> None:
    shop.write("manifest.toml", GOOD.replace(old, new))
    with pytest.raises(ConfigurationError, match=r"manifest\.toml") as caught:
        load_manifest("shop")
    assert said in str(caught.value)


def test_a_stream_declared_twice_is_a_mistake(shop: Folder) -> None:
    shop.write("manifest.toml", GOOD + GOOD[GOOD.index("[[streams]]") :])
    with pytest.raises(ConfigurationError, match="used twice"):
        load_manifest("shop")


@pytest.mark.parametrize("name", ["nowhere", "kit", "../pos", "pos.writers", "", "os"])
def test_an_unknown_connector_is_named(name: str) -> None:
    with pytest.raises(ConfigurationError, match="connector|manifest"):
        load_manifest(name)


def test_a_missing_or_broken_schema_names_its_file(shop: Folder) -> None:
    shop.write("manifest.toml", GOOD).write("schemas/goods.json", "{")
    with pytest.raises(ConfigurationError, match=r"goods\.json"):
        load_schemas("shop")
    (shop.root / "schemas/goods.json").unlink()
    with pytest.raises(ConfigurationError, match=r"goods\.json"):
        load_schemas("shop")


def test_a_missing_setting_or_secret_is_named(shop: Folder) -> None:
    shop.write("manifest.toml", GOOD + '[auth]\nsettings = ["base_url"]\nsecrets = ["token"]\n')
    with pytest.raises(ConfigurationError, match=r"settings\.base_url"):
        connect(config())
    with pytest.raises(ConfigurationError, match=r"secrets\.token"):
        connect(config(settings={"base_url": "http://x"}))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('[[writers]]\nname = "w"\nmapping = "m"\nidempotency = "none"\n', "writers"),
        ('[auth]\ndoor = "signature"\n', "doors"),
    ],
)
def test_a_promise_without_code_is_a_mistake(shop: Folder, more: str, said: str) -> None:
    shop.write("manifest.toml", GOOD + more)
    with pytest.raises(ConfigurationError, match=said):
        connect(config())


def test_code_without_a_promise_is_a_mistake(shop: Folder) -> None:
    shop.write("manifest.toml", GOOD).write(
        "streams.py", "def readers(config, manifest):\n    return {'goods': None}\n"
    )
    with pytest.raises(ConfigurationError, match="readers"):
        connect(config())


def test_every_connector_of_the_house_can_be_connected_or_says_what_it_lacks() -> None:
    assert {"pos", "wms"} <= set(available())
    for name in available():
        manifest = load_manifest(name)
        given = dict.fromkeys(manifest.auth.settings, "http://127.0.0.1:9") | {"dialect": "sqlite"}
        secrets = dict.fromkeys(manifest.auth.secrets, "s3cret")
        built = connect(SystemConfig(name="it", connector=name, owner="o", brand="b", settings=given, secrets=secrets))
        assert set(built.schemas) == {stream.name for stream in manifest.streams}
        assert "s3cret" not in repr(built)


def test_a_quality_rule_is_done_or_exempt_with_a_reason(shop: Folder) -> None:
    settled = "\n".join(f'{rule} = "done"' for rule in RULES)
    shop.write("manifest.toml", f"{GOOD}[quality]\n{settled}\n")
    assert quality_problems(load_manifest("shop")) == []
    for verdict in ("todo", "exempt: ", "exempt", ""):
        changed = load_manifest("shop").model_copy(
            update={"quality": {**dict.fromkeys(RULES, "done"), "readme": verdict, "beauty": "done"}}
        )
        assert [problem.split(" ")[0].rstrip(":") for problem in quality_problems(changed)] == [
            "quality.beauty",
            "quality.readme",
        ]
