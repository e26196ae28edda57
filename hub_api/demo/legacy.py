"""The legacy systems of the demo: how each simulator is started, and what the estate file says of it."""

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from psycopg.conninfo import conninfo_to_dict

from canonical_model.errors import ConfigurationError
from connectors.drp.database import DrpDatabase
from connectors.kit import odbc
from connectors.kit.faults import Fault
from connectors.kit.process import SimulatorProcess
from hub_api.demo.retailer import BRAND, LIVE_ROOM, MINI_PROGRAM, OWNER

CORE: Final = ("pos", "wms", "sap")
POINTS: Final = ("airline", "finance", "giftco", "cardco")
ALL: Final = (*CORE, "drp", "crm", *POINTS)
PARTNER: Final = "yipan"
SISTERS: Final = ("linmu", "qingye")
SAP_USER: Final = "YIPAN"
CRM_USER: Final = "YIPAN"
DRP_NAME: Final = "yipan_demo_drp"
DIALECT: Final = "postgresql"
ODBC_TIMEOUT_S: Final = 10.0

_HEAD: Final = """\
owner = "{owner}"
brand = "{brand}"
erp = "sap"

[systems.hub]
connector = "hub"

[systems.{mini}]
connector = "hub"

[systems.{live}]
connector = "hub"
"""
_SYSTEMS: Final = {
    "pos": """
[systems.pos]
connector = "pos"
settings = {{ base_url = "{url}" }}
secrets = {{ access_token = "file:{folder}/pos_secret" }}
""",
    "wms": """
[systems.wms]
connector = "wms"
settings = {{ base_url = "{url}", customer_id = "{owner}" }}
secrets = {{ app_secret = "file:{folder}/wms_secret" }}
""",
    "sap": """
[systems.sap]
connector = "sap"
settings = {{ base_url = "{url}", client = "100", user = "{sap_user}", sales_area = "1010/10/00" }}
secrets = {{ password = "file:{folder}/sap_secret" }}
""",
    "drp": """
[systems.drp]
connector = "drp"
settings = {{ dialect = "{dialect}" }}
secrets = {{ connection = "file:{folder}/drp_secret" }}
""",
    "crm": """
[systems.crm]
connector = "crm"
settings = {{ base_url = "{url}", user = "{crm_user}" }}
secrets = {{ password = "file:{folder}/crm_secret" }}
""",
    "airline": """
[systems.airline]
connector = "airline"
settings = {{ base_url = "{url}", client_id = "{partner}" }}
secrets = {{ client_secret = "file:{folder}/airline_secret" }}
""",
    "finance": """
[systems.finance]
connector = "finance"
settings = {{ base_url = "{url}", app_id = "{partner}" }}
secrets = {{ app_secret = "file:{folder}/finance_secret" }}
""",
    "giftco": """
[systems.giftco]
connector = "giftco"
settings = {{ base_url = "{url}", app_key = "{partner}" }}
secrets = {{ app_secret = "file:{folder}/giftco_secret" }}
""",
    "cardco": """
[systems.cardco]
connector = "cardco"
zone = "Asia/Shanghai"
settings = {{ base_url = "{url}", user = "{partner}" }}
secrets = {{ password = "file:{folder}/cardco_secret" }}
""",
}
_SISTER: Final = """
[systems.{brand}_shop]
connector = "hub"
brand = "{brand}"
"""
_AUTHORITY: Final = """
[[authority]]
kind = "warehouse"
system = "wms"
fulfilled_by = "wms"

[[authority]]
kind = "store"
system = "{stores}"
"""


class Legacy:
    """The chosen systems of one estate in ``folder``; the DRP's books live beside the hub's at ``database_url``.

    Writes each system's secret into the folder, for its owner's eyes only.
    """

    def __init__(self, folder: Path, systems: Sequence[str], urls: Mapping[str, str], database_url: str) -> None:
        self.systems = tuple(systems)
        self._folder, self._urls = folder, urls
        self._odbc_admin, odbc_reader = _odbc_strings(database_url)
        self._secrets = {name: secrets.token_urlsafe(24) for name in systems} | {"drp": odbc_reader}
        for name in systems:
            path = folder / f"{name}_secret"
            path.touch(mode=0o600)
            path.write_text(self._secrets[name], encoding="utf-8")

    def estate_file(self) -> str:
        """The estate file's text. Stores are counted by the DRP where there is one, else by the tills."""
        words = {
            "owner": OWNER,
            "brand": BRAND,
            "mini": MINI_PROGRAM,
            "live": LIVE_ROOM,
            "folder": self._folder,
            "sap_user": SAP_USER,
            "crm_user": CRM_USER,
            "partner": PARTNER,
            "dialect": DIALECT,
            "stores": "drp" if "drp" in self.systems else "pos",
        }
        parts = [_SYSTEMS[name].format(url=self._urls[name], **words) for name in self.systems]
        if set(POINTS) <= set(self.systems):
            parts += [_SISTER.format(brand=brand) for brand in SISTERS]
        return _HEAD.format(**words) + "".join(parts) + _AUTHORITY.format(**words)

    def simulators(
        self, hub_url: str, seed: int, faults: Mapping[str, float], keys: Mapping[str, str]
    ) -> dict[str, SimulatorProcess]:
        """The simulators, not yet started, each at the port of its URL. ``faults``: rates by kind."""
        if "drp" in self.systems:
            self._forget_drp()
        return {
            name: SimulatorProcess(
                name,
                self._folder / f"{name}.db",
                hub=hub_url,
                key=keys.get(name, ""),
                seed=seed,
                faults=_known_faults(name, faults),
                settings=self._settings(name),
            )
            for name in self.systems
        }

    def _settings(self, name: str) -> dict[str, str]:
        secret = self._secrets[name]
        return {
            "pos": {"access_token": secret},
            "wms": {"app_secret": secret, "customer_id": OWNER},
            "sap": {"user": SAP_USER, "password": secret},
            "drp": {"dialect": DIALECT, "admin": self._odbc_admin, "connection": secret},
            "crm": {"user": CRM_USER, "password": secret},
            "airline": {"client_id": PARTNER, "client_secret": secret},
            "finance": {"app_id": PARTNER, "app_secret": secret},
            "giftco": {"app_key": PARTNER, "app_secret": secret},
            "cardco": {"user": PARTNER, "password": secret},
        }[name]

    def _forget_drp(self) -> None:
        DrpDatabase(DIALECT, admin=self._odbc_admin, connection=self._secrets["drp"]).drop()


def _known_faults(name: str, faults: Mapping[str, float]) -> dict[str, float]:
    """Those of the rates that the system knows. A database has sessions that break, not answers that get lost."""
    if name == "wms":
        return dict(faults)
    if name == "drp":
        return {"kill_connection": faults["delay"] / 3} if "delay" in faults else {}
    return {kind: rate for kind, rate in faults.items() if kind in set(Fault)}


def odbc_is_there(database_url: str) -> bool:
    """Whether the DRP's books can be reached by ODBC on this machine."""
    admin, _ = _odbc_strings(database_url)
    try:
        odbc.connect(admin, ODBC_TIMEOUT_S).close()
    except ConfigurationError:
        return False
    return True


def _odbc_strings(database_url: str) -> tuple[str, str]:
    """Of the administrator and of the reader, whose password is new every time."""
    known = conninfo_to_dict(database_url)
    server = f"DRIVER={{PostgreSQL Unicode}};Server={known['host']};Port={known.get('port', 5432)}"
    reader = f"Database={DRP_NAME};UID={DRP_NAME};PWD={secrets.token_hex(16)};UseDeclareFetch=1;Fetch=5000"
    return f"{server};Database=postgres;UID={known['user']}", f"{server};{reader}"
