"""A record or a mapping put right at the desk: tried first, stored beside what came, fed again, audited."""

import json
from typing import Any

import pytest

from canonical_model.errors import AccessError, ConflictError, NotFoundError, RecordError, RejectedError
from flows.runtime.bootstrap import Hub
from flows.runtime.quarantine import Selection
from hub_api import corrections, repair
from hub_api.audit import verify
from hub_api.auth import Access
from mappings.engine import load_mapping, read_table
from tests.hub_api.conftest import BRAND, OWNER, Client
from tests.hub_api.documents import order, place, product
from tests.hub_api.test_stories import ME, PHONE, person

WHY = "the new supplier names its units in another way"


def push(client: Client, *records: Any, stream: str = "products") -> dict[str, Any]:
    answer: dict[str, Any] = client("*").post(f"/v1/ingest/hub/{stream}?wait=true", json=list(records)).json()
    return answer


def row_id(hub: Hub) -> int:
    """The only quarantined row."""
    (row,) = hub.database.run("SELECT id FROM quarantine")
    return int(row["id"])


def state_of(hub: Hub) -> str:
    (row,) = hub.database.run("SELECT state FROM quarantine")
    return str(row["state"])


def refused_order(hub: Hub, client: Client, **changes: Any) -> int:
    """A quarantined order with a person in it; its row."""
    push(client, product())
    client("*", "channel:shop").post("/v1/orders?wait=true", json=order(line={"unit": "parsec"}, **changes))
    return row_id(hub)


def fixed(hub: Hub, row: int) -> dict[str, Any]:
    """The record as the desk shows it, with its unit put right."""
    shown = json.loads(corrections.read_editable(hub, ME, row)["raw"])
    shown["lines"][0]["unit"] = "EA"
    return dict(shown)


class TestARecord:
    def test_is_previewed_corrected_and_taken(self, hub: Hub, client: Client) -> None:
        push(client, product("A", base_unit="parsec"))
        row, good = row_id(hub), json.dumps(product("A", base_unit="EA")).encode()
        before = corrections.preview(hub, ME, row)
        assert (before.accepted, before.canonical, before.issues[0]["code"]) == (False, None, "unit.unknown")
        after = corrections.preview(hub, ME, row, good)
        assert after.accepted
        assert after.canonical is not None
        assert after.canonical["base_unit"] == "EA"
        assert hub.database.run("SELECT 1 FROM sku") == []
        done = corrections.correct(hub, ME, row, good)
        hub.runner.drain()
        assert state_of(hub) == "accepted"
        assert hub.database.run("SELECT code FROM sku") == [{"code": "A"}]
        assert hub.database.run("SELECT state FROM flow_run WHERE id = %s", (done["run_id"],)) == [{"state": "done"}]

    def test_is_kept_beside_what_came_and_never_over_it(self, hub: Hub, client: Client) -> None:
        push(client, product("A", base_unit="parsec"))
        row = row_id(hub)
        for unit in ("cubit", "EA"):
            corrections.correct(hub, ME, row, json.dumps(product("A", base_unit=unit)).encode())
            hub.runner.drain()
        shown = corrections.read_editable(hub, ME, row)
        assert '"parsec"' in shown["raw"]
        assert '"EA"' in shown["edited"]
        assert [entry["author"] for entry in shown["corrections"]] == ["user:tester"] * 2
        entries = hub.database.run("SELECT subject, detail FROM audit WHERE action = 'quarantine.correct' ORDER BY seq")
        assert [entry["subject"] for entry in entries] == [f"quarantine:{row}"] * 2
        assert '"fields":["base_unit"]' in entries[0]["detail"]
        assert "cubit" not in str(entries)
        assert verify(hub.database).broken is None

    def test_that_waits_for_a_parent_is_said_to_wait(self, hub: Hub, client: Client) -> None:
        client("*", "channel:shop").post("/v1/orders?wait=true", json=order(sku="UNKNOWN"))
        preview = corrections.preview(hub, ME, row_id(hub))
        assert (preview.accepted, preview.issues[0]["code"]) == (False, "sku.unknown")
        assert preview.canonical is not None

    def test_of_a_person_is_shown_masked_and_what_stays_masked_stays_as_it_was(self, hub: Hub, client: Client) -> None:
        row = refused_order(hub, client)
        shown = corrections.read_editable(hub, ME, row)
        assert "138••••5678" in shown["raw"]
        assert PHONE not in str(shown)
        preview = corrections.preview(hub, ME, row, json.dumps(fixed(hub, row)).encode())
        assert preview.accepted, preview.issues
        assert PHONE not in str(preview)
        corrections.correct(hub, ME, row, json.dumps(fixed(hub, row)).encode())
        hub.runner.drain()
        assert state_of(hub) == "accepted"
        (sold,) = hub.database.run("SELECT receiver_key_id, receiver_sealed FROM sales_order")
        with hub.database.unit() as uow:
            receiver = hub.vault.open_json(uow.connection, sold["receiver_key_id"], sold["receiver_sealed"])
        assert (receiver["mobile"], receiver["name"]) == (PHONE, "陈小一")

    def test_of_a_person_is_sealed_and_goes_with_that_person(self, hub: Hub, client: Client) -> None:
        row = refused_order(hub, client)
        edited = fixed(hub, row)
        edited["receiver"]["mobile"] = "13900001111"
        edited["lines"][0]["unit"] = "cubit"
        corrections.correct(hub, ME, row, json.dumps(edited).encode())
        hub.runner.drain()
        stored = str(hub.database.run("SELECT raw FROM record_correction")) + str(
            hub.database.run("SELECT * FROM audit")
        )
        assert "13900001111" not in stored
        with hub.database.unit() as uow:
            hub.vault.destroy(uow.connection, hub.vault.token("13900001111"))
            uow.commit()
        shown = corrections.read_editable(hub, ME, row)
        assert (shown["raw"], shown["edited"]) == (None, None)
        with pytest.raises(NotFoundError, match="erased"):
            corrections.preview(hub, ME, row)

    def test_of_a_person_takes_no_mask_for_a_value(self, hub: Hub, client: Client) -> None:
        row = refused_order(hub, client)
        edited = fixed(hub, row)
        edited["receiver"]["name"] = "王••"
        with pytest.raises(RecordError) as refused:
            corrections.correct(hub, ME, row, json.dumps(edited).encode())
        assert [(issue.field, issue.code) for issue in refused.value.issues] == [("receiver.name", "record.masked")]

    def test_of_a_person_shows_nothing_in_the_wrong_place_and_gives_it_back_untouched(
        self, hub: Hub, client: Client
    ) -> None:
        http = client("*", "channel:shop")
        extra: dict[str, Any] = {"联系人王五13711113333": "x", "receiver": ["王五 13711110000"]}
        line = {"quantity": "13711112222", "sku": ["王五"]}
        message = http.post("/v1/orders?wait=true", json=order("X13711110000", line=line, **extra)).json()["message_id"]
        row = row_id(hub)
        viewer = client("ops:read")
        addresses = (f"/v1/quarantine/{row}", f"/v1/messages/{message}", f"/v1/messages/{message}/raw")
        seen = "".join(viewer.get(address).text for address in addresses)
        stored = str(hub.database.run("SELECT * FROM quarantine, span"))
        for number in ("13711110000", "13711112222", "13711113333", "王五"):
            assert number not in seen + stored
        shown = json.loads(corrections.read_editable(hub, ME, row)["edited"])
        shown["lines"][0] |= {"quantity": 2, "sku": "TEE-RED-M"}
        shown["receiver"] = order()["receiver"]
        shown["order_no"] = "M1"
        refused = corrections.preview(hub, ME, row, json.dumps(shown).encode())
        assert [(issue["field"], issue["code"]) for issue in refused.issues] == [("•••", "contract.unknown_field")]
        with pytest.raises(RecordError, match="mask"):
            corrections.preview(hub, ME, row, json.dumps(shown | {"•••9": 1}).encode())
        del shown["•••1"]
        assert corrections.preview(hub, ME, row, json.dumps(shown).encode()).issues[0]["code"] == "sku.unknown"

    def test_of_a_person_answers_a_right_guess_at_what_is_masked_as_a_wrong_one(self, hub: Hub, client: Client) -> None:
        person_of = {"id": "m-1", "code": "C1", "name": "欧阳小一", "mobile": PHONE, "level": 7}
        push(client, person_of | {"occurred_at": "2026-03-01T12:00:00+08:00"}, stream="members")
        row = row_id(hub)
        shown = json.loads(corrections.read_editable(hub, ME, row)["edited"]) | {"level": "gold"}

        def tried(access: Access, code: str) -> tuple[Any, ...]:
            told = corrections.preview(hub, access, row, json.dumps(shown | {"code": code}).encode())
            return told.accepted, (told.canonical or {}).get("code"), [issue["code"] for issue in told.issues]

        blind, seeing = person("ops:read", "data:write"), person("ops:read", "data:write", "data:unmask")
        for form in ("{}", "V{}", "99{}77"):
            assert tried(blind, form.format(PHONE)) == tried(blind, form.format("13812345679"))
        assert tried(seeing, f"V{PHONE}")[2] == tried(blind, f"V{PHONE}")[2] == ["member.named_by_mobile"]
        assert tried(seeing, "V13812345679") == (True, "V13812345679", [])
        assert tried(blind, "C2") == (True, "C2", [])

    def test_that_was_corrected_is_replayed_as_corrected(self, hub: Hub, client: Client) -> None:
        message = push(client, product("A", base_unit="parsec"), product("B"))["message_id"]
        corrections.correct(hub, ME, row_id(hub), json.dumps(product("A", name="Right")).encode())
        hub.runner.drain()
        repair.replay(hub, ME, message)
        hub.runner.drain()
        assert state_of(hub) == "accepted"
        assert hub.database.run("SELECT name FROM sku WHERE code = 'A'") == [{"name": "Right"}]

    def test_a_document_that_could_not_be_read_is_corrected_as_a_whole(self, hub: Hub, client: Client) -> None:
        http = client("*")
        answer = http.post(
            "/v1/ingest/hub/products?wait=true",
            content=b'[{"code": "A", "spu": "S", "name": "N"',
            headers={"Content-Type": "application/json"},
        )
        row = row_id(hub)
        whole = json.dumps([product("A"), product("B", base_unit="parsec")]).encode()
        assert corrections.preview(hub, ME, row, whole).issues[0]["code"] == "unit.unknown"
        corrections.correct(hub, ME, row, whole)
        hub.runner.drain()
        results = http.get(f"/v1/messages/{answer.json()['message_id']}").json()["results"]
        assert [result["status"] for result in results] == ["accepted", "quarantined"]

    @pytest.mark.parametrize("raw", [b"", b"{", b"[1", b"\xff\xfe", b'{"a": NaN}', b"null" + b" " * 20_000_000])
    def test_that_is_no_json_is_refused(self, hub: Hub, client: Client, raw: bytes) -> None:
        push(client, product("A", base_unit="parsec"))
        with pytest.raises(RejectedError):
            corrections.correct(hub, ME, row_id(hub), raw)
        assert hub.database.run("SELECT 1 FROM record_correction") == []

    @pytest.mark.parametrize("raw", [b"null", b"[]", b"7", b'"x"', b"{}"])
    def test_that_is_no_record_stays_in_quarantine(self, hub: Hub, client: Client, raw: bytes) -> None:
        row = refused_order(hub, client)
        assert not corrections.preview(hub, ME, row, raw).accepted
        corrections.correct(hub, ME, row, raw)
        hub.runner.drain()
        assert state_of(hub) == "open"

    def test_is_corrected_only_while_it_is_open_by_those_who_may(self, hub: Hub, client: Client) -> None:
        push(client, product("A", base_unit="parsec"))
        row, good = row_id(hub), json.dumps(product("A")).encode()
        operator = person("ops:read", "ops:write", "estate:write")
        with pytest.raises(AccessError):
            corrections.correct(hub, operator, row, good)
        with pytest.raises(AccessError):
            corrections.preview(hub, operator, row)
        with pytest.raises(NotFoundError):
            corrections.correct(hub, person(brand="sister"), row, good)
        with pytest.raises(NotFoundError):
            corrections.read_editable(hub, person(brand="sister"), row)
        repair.discard(hub, ME, Selection(OWNER, BRAND, [row]))
        with pytest.raises(ConflictError):
            corrections.correct(hub, ME, row, good)


PRODUCTS_TABLE = read_table("hub", "product_in")
FIXED_TABLE = PRODUCTS_TABLE.replace('from = "base_unit"', "from = \"(base_unit == 'cubit' && 'EA') || base_unit\"")
WORSE_TABLE = FIXED_TABLE.replace('name = "name"', 'name = "spu"')


class TestAMapping:
    def test_in_force_is_shown_with_where_it_comes_from(self, hub: Hub) -> None:
        state = corrections.mapping_state(hub, ME, "hub", "products")
        assert state.text == PRODUCTS_TABLE == corrections.mapping_source(hub, ME, "hub", "products")
        assert (state.active, state.revisions, state.outdated) == (None, [], False)
        assert state.version == state.packaged_version == load_mapping("hub", "product_in").version

    def test_is_tried_on_what_lies_open_and_on_what_went_well(self, hub: Hub, client: Client) -> None:
        push(client, product("G1"), product("G2"))
        push(client, *(product(f"B{n}", base_unit="cubit") for n in range(3)), product("X", base_unit="parsec"))
        trial = corrections.try_mapping(hub, ME, "hub", "products", FIXED_TABLE)
        assert trial.usable, (trial.problem, trial.failures)
        assert (trial.open_rows, trial.tried, trial.passing, trial.causes) == (4, 4, 3, {"unit.unknown": 1})
        assert [change.source_id for change in trial.healed] == ["B0", "B1", "B2"]
        assert trial.healed[0].after is not None
        assert (trial.recent, trial.changed, trial.broken) == (2, 0, 0)
        worse = corrections.try_mapping(
            hub, ME, "hub", "products", FIXED_TABLE.replace('name = "name"', 'name = "spu"')
        )
        assert (worse.usable, worse.changed) == (False, 2)
        assert worse.differences[0].before != worse.differences[0].after
        none = corrections.try_mapping(hub, ME, "hub", "products", FIXED_TABLE, Selection(OWNER, BRAND, cause="other"))
        assert none.open_rows == 0
        assert hub.database.run("SELECT state, attempts FROM quarantine GROUP BY 1, 2") == [
            {"state": "open", "attempts": 1}
        ]

    def test_that_cannot_be_used_says_why(self, hub: Hub) -> None:
        trial = corrections.try_mapping(hub, ME, "hub", "products", "version = ")
        assert (trial.usable, "not TOML" in trial.problem) == (False, True)

    def test_fixed_takes_five_hundred_records_back_in_one_go(self, hub: Hub, client: Client) -> None:
        for part in range(5):
            push(client, *(product(f"S{part}-{n}", base_unit="cubit") for n in range(100)))
        trial = corrections.try_mapping(hub, ME, "hub", "products", FIXED_TABLE)
        assert (trial.open_rows, trial.passing) == (500, 500)
        revision = corrections.revise_mapping(hub, ME, "hub", "products", FIXED_TABLE, WHY)
        assert repair.refeed(hub, ME, Selection(OWNER, BRAND, cause="unit.unknown"), dry_run=True)["accepted"] == 500
        repair.refeed(hub, ME, Selection(OWNER, BRAND, cause="unit.unknown"), dry_run=False)
        hub.runner.drain()
        assert hub.database.run("SELECT state, count(*) AS n FROM quarantine GROUP BY 1") == [
            {"state": "accepted", "n": 500}
        ]
        assert hub.database.run("SELECT count(*) AS n FROM sku") == [{"n": 500}]
        assert (revision.number, revision.author, revision.active) == (1, "user:tester", True)

    def test_is_taken_back_and_every_change_is_audited(self, hub: Hub, client: Client) -> None:
        corrections.revise_mapping(hub, ME, "hub", "products", FIXED_TABLE, WHY)
        state = corrections.mapping_state(hub, ME, "hub", "products")
        assert (state.active, state.text, state.packaged_text) == (1, FIXED_TABLE, PRODUCTS_TABLE)
        assert state.version.endswith(".r1")
        back = corrections.activate_mapping(hub, ME, "hub", "products", None, "the supplier has put it right")
        assert (back.active, back.text) == (None, PRODUCTS_TABLE)
        again = corrections.activate_mapping(hub, ME, "hub", "products", 1, "the supplier has done it again")
        assert again.active == 1
        actions = hub.database.run("SELECT action, subject FROM audit ORDER BY seq")
        assert [row["action"] for row in actions] == ["mapping.revise", "mapping.activate", "mapping.activate"]
        assert {row["subject"] for row in actions} == {"mapping:hub/product_in"}

    def test_made_from_an_older_release_is_marked(self, hub: Hub) -> None:
        corrections.revise_mapping(hub, ME, "hub", "products", FIXED_TABLE, WHY)
        assert not corrections.mapping_state(hub, ME, "hub", "products").outdated
        hub.database.run("UPDATE mapping_revision SET based_on = '0+deadbeef'")
        assert corrections.mapping_state(hub, ME, "hub", "products").outdated

    def test_of_people_never_shows_one_in_a_trial(self, hub: Hub, client: Client) -> None:
        push(client, product(), place("W"), stream="products")
        http = client("*", "channel:shop")
        http.post("/v1/orders?wait=true", json=order())
        http.post("/v1/orders?wait=true", json=order("M1002", line={"unit": "parsec"}))
        table = read_table("hub", "order_in").replace('till = "till"', "till = \"not_null(till, 'T7')\"")
        trial = corrections.try_mapping(hub, ME, "shop", "orders", table)
        told = str(trial)
        assert trial.recent == 1
        assert trial.changed == 1
        assert "M1001" in told
        for secret in (PHONE, "陈小一", "文三路"):
            assert secret not in told

    def test_of_people_cannot_bring_them_into_the_open(self, hub: Hub, client: Client) -> None:
        table = read_table("hub", "order_in").replace('till = "till"', 'till = "receiver.mobile"')
        trial = corrections.try_mapping(hub, ME, "shop", "orders", table)
        assert (trial.usable, "reads a personal field" in trial.problem) == (False, True)
        with pytest.raises(RejectedError, match="reads a personal field"):
            corrections.revise_mapping(hub, ME, "shop", "orders", table, WHY)
        row = refused_order(hub, client)
        with pytest.raises(RejectedError, match="reads a personal field"):
            corrections.preview(hub, ME, row, mapping=table)

    def test_is_for_those_who_may_and_for_what_is_theirs(self, hub: Hub) -> None:
        operator = person("ops:read", "ops:write", "estate:write")
        with pytest.raises(AccessError):
            corrections.revise_mapping(hub, operator, "hub", "products", FIXED_TABLE, WHY)
        with pytest.raises(AccessError):
            corrections.try_mapping(hub, operator, "hub", "products", FIXED_TABLE)
        with pytest.raises(AccessError):
            corrections.activate_mapping(hub, operator, "hub", "products", None, WHY)
        with pytest.raises(NotFoundError):
            corrections.revise_mapping(hub, person(brand="sister"), "hub", "products", FIXED_TABLE, WHY)
        with pytest.raises(NotFoundError):
            corrections.mapping_state(hub, ME, "hub", "no_such")
        with pytest.raises(RejectedError, match="say why"):
            corrections.revise_mapping(hub, ME, "hub", "products", FIXED_TABLE, "why not")
        assert hub.database.run("SELECT 1 FROM mapping_revision") == []
