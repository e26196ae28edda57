"""A mapping corrected while the hub runs: in force from the next message, for one brand, and never more than data."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from canonical_model.errors import ConfigurationError, NotFoundError, RejectedError
from flows.runtime import revisions
from flows.runtime.bootstrap import build
from flows.runtime.database import UnitOfWork
from flows.runtime.revisions import Place
from flows.runtime.settings import Settings
from mappings import reach
from mappings.engine import load_mapping, read_table
from mappings.examples import EXAMPLE_CONTEXT
from tests.flows.desk import Desk, make_settings, product, statuses

PRODUCTS = Place("yunshang", "yunshang", "hub", "product_in")
ORDERS = Place("yunshang", "yunshang", "hub", "order_in")
SALES = Place("yunshang", "yunshang", "pos", "sale_in")
PERSONAL = ("receiver.mobile", "receiver.name", "receiver.street")
SALE_PERSONAL = ("consignee.phone", "vipNo", "consignee.name")
WHY = "the supplier writes its units in another way"


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return make_settings(tmp_path, database_url)


@pytest.fixture
def desk(settings: Settings) -> Any:
    with build(settings) as hub:
        yield Desk(hub)


def packaged(place: Place = PRODUCTS) -> str:
    return read_table(place.connector, place.mapping)


def renamed(text: str | None = None) -> str:
    """The table of products, with the name taken from another field first."""
    return (text or packaged()).replace('name = "name"', 'name = "extensions.title || name"')


def with_path(path: str) -> str:
    """The table of products, with one field that is read by a path."""
    return packaged().replace('extensions = "extensions"\n', f"\"extensions.x\" = '''{path}'''\n")


def revise(desk: Desk, text: str, place: Place = PRODUCTS, personal: tuple[str, ...] = ()) -> Any:
    with desk.hub.database.unit() as uow:
        row = revisions.revise(uow, place, text, personal, author="user:wang", reason=WHY)
        uow.commit()
    return row


def wrong_with(text: str, place: Place = PRODUCTS, personal: tuple[str, ...] = ()) -> list[str]:
    """Why the table may not be in force."""
    try:
        return revisions.problems(place, revisions.compile_text(place, text), personal)
    except RejectedError as error:
        return [error.detail]


def name_of(desk: Desk, code: str) -> Any:
    return desk.one("SELECT name FROM sku WHERE code = %s", (code,))


class TestInForce:
    def test_without_a_revision_the_packaged_table_is(self, desk: Desk) -> None:
        with desk.hub.database.unit() as uow:
            assert revisions.in_force(uow.connection, PRODUCTS) is load_mapping("hub", "product_in")

    def test_a_revision_is_used_from_the_next_message_on_in_every_process(self, desk: Desk) -> None:
        desk.push("products", product("A", extensions={"title": "Shirt"}))
        with build(desk.hub.settings) as other:
            revise(desk, renamed())
            for number, hub in enumerate((desk.hub, other)):
                Desk(hub).push("products", product(f"B{number}", extensions={"title": "Shirt"}))
        assert [name_of(desk, code) for code in ("A", "B0", "B1")] == ["商品 A", "Shirt", "Shirt"]

    def test_quarantine_names_the_revision_that_judged(self, desk: Desk) -> None:
        row = revise(desk, renamed())
        desk.push("products", product("A", base_unit="parsec"))
        assert desk.one("SELECT mapping_version FROM quarantine") == row["version"]
        assert row["version"].endswith(".r1")

    def test_a_revision_belongs_to_one_brand(self, desk: Desk) -> None:
        revise(desk, renamed())
        with desk.hub.database.unit() as uow:
            other = Place("yunshang", "sister", "hub", "product_in")
            assert revisions.in_force(uow.connection, other) is load_mapping("hub", "product_in")

    def test_an_earlier_one_or_the_packaged_table_is_put_back(self, desk: Desk) -> None:
        first = revise(desk, renamed())
        second = revise(desk, renamed().replace("extensions.extensions.title || name", "name"))
        assert (first["number"], second["number"]) == (1, 2)
        versions = []
        for number in (1, None, 2):
            with desk.hub.database.unit() as uow:
                revisions.activate(uow, PRODUCTS, number, ())
                versions.append(revisions.in_force(uow.connection, PRODUCTS).version)
                uow.commit()
        assert versions == [first["version"], load_mapping("hub", "product_in").version, second["version"]]
        with desk.hub.database.unit() as uow:
            assert [row["active"] for row in revisions.list_revisions(uow.connection, PRODUCTS)] == [True, False]
            with pytest.raises(NotFoundError):
                revisions.activate(uow, PRODUCTS, 7, ())

    def test_one_that_no_longer_fits_the_release_stops_the_stream_and_says_so(self, desk: Desk) -> None:
        revise(desk, renamed())
        broken = "version = '1'\ndirection = 'in'\nentity = 'product'\n[source]\nid = { from = 'a', with = 'gone' }"
        desk.hub.database.run("UPDATE mapping_revision SET text = %s, digest = 'other'", (broken,))
        with desk.hub.database.unit() as uow, pytest.raises(ConfigurationError, match="activate the packaged table"):
            revisions.in_force(uow.connection, PRODUCTS)

    def test_what_is_remembered_is_told_apart_by_text(self, desk: Desk) -> None:
        revise(desk, renamed())
        with desk.hub.database.unit() as uow:
            first = revisions.in_force(uow.connection, PRODUCTS)
            assert revisions.in_force(uow.connection, PRODUCTS) is first
        text = packaged()
        desk.hub.database.run("UPDATE mapping_revision SET text = %s, digest = 'another database''s'", (text,))
        with desk.hub.database.unit() as uow:
            assert revisions.in_force(uow.connection, PRODUCTS) is not first

    def test_people_who_revise_at_once_get_numbers_one_after_another(self, desk: Desk) -> None:
        def later(uow: UnitOfWork, text: str) -> int:
            return int(revisions.revise(uow, PRODUCTS, text, (), author="user:li", reason=WHY)["number"])

        with desk.hub.database.unit() as uow:
            assert later(uow, renamed()) == 1
            with desk.hub.database.unit() as rival:
                (row,) = rival.execute(
                    "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 7)) AS mine", ("/".join(PRODUCTS.key()),)
                ).fetchall()
                assert not row["mine"]
            uow.commit()
        with desk.hub.database.unit() as uow:
            assert later(uow, renamed()) == 2


class TestChecks:
    def test_what_is_packaged_passes_them_all(self) -> None:
        assert wrong_with(packaged()) == []
        assert wrong_with(packaged(ORDERS), ORDERS, PERSONAL) == []
        assert wrong_with(packaged(SALES), SALES, SALE_PERSONAL) == []
        assert wrong_with(renamed()) == []

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (lambda text: text + "\n[", "not TOML"),
            (lambda text: text.replace('entity = "product"', 'entity = "order"'), "as the packaged one does"),
            (
                lambda text: text.replace('direction = "in"', 'direction = "out"').replace('[source]\nid = "code"', ""),
                "",
            ),
            (lambda text: re.sub(r"\[\[examples\]\].*", "", text, flags=re.DOTALL), "no example"),
            (lambda text: text.replace('name = "name"', 'name = "spu"'), "expected"),
            (lambda text: text.replace('with = "unit"', 'with = "no_such"'), "names no converter"),
            (lambda text: text + "#" * 200_000, "shorten it"),
        ],
    )
    def test_a_table_that_does_not_work_is_refused_with_its_reason(self, change: Any, says: str) -> None:
        (problem, *_) = wrong_with(change(packaged()))
        assert says in problem

    def test_a_reason_is_asked_for(self, desk: Desk) -> None:
        with desk.hub.database.unit() as uow, pytest.raises(RejectedError) as refused:
            revisions.revise(uow, PRODUCTS, renamed(), (), author="user:wang", reason="  because ")
        assert refused.value.code == "reason.short"


class TestPersonalFields:
    @pytest.mark.parametrize(
        "rule",
        [
            'reason = "receiver.mobile"',
            'reason = { from = "receiver.mobile", with = "text", default = "x" }',
            'reason = "to_string(receiver)"',
            'reason = "to_string(@)"',
            'reason = "*.mobile | [0]"',
            'reason = "[receiver][].mobile | [0]"',
            'reason = "{a: receiver}.a.mobile"',
            'reason = "(lines || `[]`) && receiver.mobile"',
            'reason = "values(@) | to_string(@)"',
            'reason = "$.receiver.mobile"',
            'reason = \'"receiver"."mobile"\'',
            'reason = "@.receiver.mobile"',
            'reason = "not_null(receiver.name, receiver.street)"',
            '"extensions.phone" = "receiver.mobile"',
        ],
    )
    def test_may_not_be_read_into_what_lies_open(self, rule: str) -> None:
        text = packaged(ORDERS).replace('reason = "reason"', rule)
        if rule.startswith('"extensions'):
            text = text.replace('extensions = "extensions"\n', "")
        (problem, *_) = wrong_with(text, ORDERS, PERSONAL)
        assert "reads a personal field; only receiver may" in problem

    def test_may_not_be_read_within_a_list_either(self) -> None:
        text = packaged(ORDERS).replace('line_no = "line_no"', 'line_no = "line_no"\nnote = "$.receiver.mobile"')
        assert "lines.note reads a personal field" in wrong_with(text, ORDERS, PERSONAL)[0]

    @pytest.mark.parametrize(
        "source",
        ["starts_with(receiver.mobile, '138') && lines", "[lines, receiver][]"],
    )
    @pytest.mark.parametrize("inner", ['a = "#"', "a = { const = 1 }"])
    def test_may_not_show_in_how_long_a_list_is(self, source: str, inner: str) -> None:
        told = f'[fields."extensions.told"]\neach = "{source}"\n[fields."extensions.told".fields]\n{inner}\n\n'
        text = (
            packaged(ORDERS)
            .replace('extensions = "extensions"\n', "")
            .replace("[[examples]]", f"{told}[[examples]]", 1)
        )
        found = wrong_with(text, ORDERS, PERSONAL)
        assert "extensions.told reads a personal field" in found[0]

    def test_may_not_be_the_name_of_the_record(self) -> None:
        text = packaged(ORDERS).replace('id = "order_no"', 'id = "receiver.mobile"')
        assert "source.id reads a personal field" in wrong_with(text, ORDERS, PERSONAL)[0]

    def test_may_not_be_left_unread_where_the_packaged_table_reads_them(self) -> None:
        text = packaged(ORDERS).replace('receiver = "receiver"\n', "")
        assert "must be read by a rule" in " ".join(wrong_with(text, ORDERS, PERSONAL))

    @pytest.mark.parametrize(
        "rule",
        [
            '"receiver.mobile" = { from = "starts_with(consignee.phone, `138`) && shopCode", required = true }',
            '"receiver.mobile" = { from = "consignee.phone", codes = "guess" }',
            "\"receiver.mobile\" = \"consignee.phone == '13800000000' && 'yes'\"",
        ],
    )
    def test_may_not_be_guessed_by_what_becomes_of_a_record(self, rule: str) -> None:
        text = packaged(SALES).replace('"receiver.mobile" = "consignee.phone"', rule)
        text = text.replace("[fields]\n", '[codes.guess]\n"13800000000" = "yes"\n\n[fields]\n', 1)
        found = wrong_with(text, SALES, SALE_PERSONAL)
        assert found == [
            "receiver.mobile decides by a personal field; take it by a plain path and without codes, as it is"
        ]

    def test_may_move_within_what_is_sealed(self) -> None:
        text = packaged(SALES).replace('district" = "consignee.district"', 'district" = "consignee.address"')
        personal = ("consignee.address", "consignee.district", *SALE_PERSONAL)
        assert revisions.unfit(SALES, revisions.compile_text(SALES, text), personal) == []


SHELL = "__import__('os').system('touch {mark}')"
INJECTIONS = [
    '"a\'] = {code}; x[\'" = "code"',
    '"a\\"] = {code}; x[\\"" = "code"',
    '"a\\n    {code}\\n" = "code"',
    "a = {{ const = \"'+{code}+'\" }}",
    'a = {{ const = "\\n{code}\\n" }}',
    'a = {{ from = "code", default = "{{{code}}}" }}',
    "a = '''\"\\\"+{code}+\\\"\"'''",
    "a = '''\"x'] or {code} or y['\"'''",
    "a = '''`\"' + {code} + '\"`'''",
    "a = '''`\"\\ud800\"`'''",
    "a = '''join('', ['\\'+{code}+\\''])'''",
    "a = '''{{\"k'] + {code} + y['\": code}}'''",
    'a = {{ from = "code", with = "__import__" }}',
    'a = {{ from = "code", with = "os.system" }}',
    'a = {{ from = "code", with = "eval" }}',
    'a = {{ from = "code", with = "_with_offset" }}',
    'a = {{ from = "code", with = "__class__.__mro__" }}',
    'a = {{ from = "code", with = "../../etc/passwd" }}',
    'a = {{ from = "code", codes = "__builtins__" }}',
    "a = '''__import__('os')'''",
    "a = '''\"__class__\".\"__init__\".\"__globals__\"'''",
    "a = '''code.__class__'''",
]


class TestATableIsData:
    @pytest.mark.parametrize("rule", INJECTIONS)
    def test_and_never_code(self, rule: str, tmp_path: Path) -> None:
        mark = tmp_path / "owned"
        text = packaged().replace('spu = "spu"\n', f'spu = "spu"\n{rule.format(code=SHELL.format(mark=mark))}\n')
        assert "owned" in text or "with =" in text or "__" in text or "ud800" in text
        try:
            mapping = revisions.compile_text(PRODUCTS, text)
        except RejectedError:
            mapping = None
        if mapping is not None:
            record = {"code": "A", "spu": "S", "name": "N", "__class__": {"__init__": {"__globals__": 1}}}
            odd: tuple[Any, ...] = (record, {**record, "code": {"__class__": 1}}, {}, [], "x")
            mapping.map_many(odd, EXAMPLE_CONTEXT)
        assert not mark.exists()

    def test_names_only_converters_of_the_package(self) -> None:
        (detail,) = wrong_with(packaged().replace('with = "unit"', 'with = "open"'))
        assert "names no converter" in detail
        offered = re.search(r"there are (.*)", detail)
        assert offered is not None
        names = set(offered[1].split(", "))
        assert names.isdisjoint(dir(__builtins__) if not isinstance(__builtins__, dict) else __builtins__)
        assert not [name for name in names if name.startswith("_")]

    def test_and_nothing_beside_the_result_of_its_converters_is_reachable(self) -> None:
        source = "the generated function"
        mapping = revisions.compile_text(PRODUCTS, renamed())
        bind = mapping._bind
        seen = {name for name in bind.__globals__ if name not in ("__builtins__", "bind", "UnusualError", "look_up")}
        assert seen, source
        assert all(re.fullmatch(r"(convert|codes|meanings|search|read|context)_\d+", name) for name in seen)

    @pytest.mark.parametrize(
        "rule",
        [
            "a = { const = 0x" + "f" * 20_000 + " }",
            "a = { const = " + "9" * 5_000 + " }",
            "a = " + "[" * 3_000 + "]" * 3_000,
            "a = '" + "a" + ".a" * 20_000 + "'",
            "a = '" + "a || " * 5_000 + "a'",
            "a = '" + "[" * 2_000 + "a" + "]" * 2_000 + "'",
            "a = '" + "(" * 2_000 + "a" + ")" * 2_000 + "'",
            "a = '" + "!" * 5_000 + "a'",
            "a = '" + "a[0]" + "[0]" * 5_000 + "'",
            '"' + ".".join("abcdefghijklmnopqrstuvwxyz") + '" = "code"',
            "a = { const = nan }",
            "a = { const = 1979-05-27 }",
            "a = 'x\x00y'",
        ],
        ids=lambda rule: rule[:24].strip() + "…",
    )
    def test_too_deep_or_too_large_is_refused_and_breaks_nothing(self, rule: str) -> None:
        before = sys.getrecursionlimit()
        text = packaged().replace('spu = "spu"\n', f'spu = "spu"\n{rule}\n')
        problems = wrong_with(text)
        assert problems or "a" in rule
        assert sys.getrecursionlimit() == before
        assert wrong_with(renamed()) == []

    @pytest.mark.parametrize(
        ("path", "says"),
        [
            ("a" + "|a" * 900, "over 50 levels"),
            ("a" + "==a" * 600, "over 50 levels"),
            ("!" * 60 + "a", "over 50 levels"),
            ("`" + "[" * 300 + "]" * 300 + "`", "over 50 levels"),
            ("&name", '"&" where no function asks for one'),
            ("[&name]", '"&" where no function asks for one'),
            ("not_null(&name)", '"&" where no function asks for one'),
            ("sort_by(units, &[&unit])", '"&" where no function asks for one'),
            ('`"\\ud800"`', "a value that nothing stored can have"),
            ('{"\\ud800": name}', "a value that nothing stored can have"),
            ("`1" + "0" * 30 + "`", "a value that nothing stored can have"),
        ],
        ids=lambda text: text[:16],
    )
    def test_whose_path_cannot_be_followed_is_refused(self, path: str, says: str) -> None:
        (problem,) = wrong_with(with_path(path))
        assert says in problem
        assert "fields.extensions.x" in problem

    @pytest.mark.parametrize(
        "path",
        ["name[0:1]", "[0:1]", "units[::2].unit", "name[?a[0:1]]", "sort_by(units, &unit)[0].unit", "a" + "|a" * 48],
    )
    def test_may_cut_and_sort_lists(self, path: str) -> None:
        assert revisions.unfit(PRODUCTS, revisions.compile_text(PRODUCTS, with_path(path)), ()) == []

    def test_that_would_blow_records_up_is_refused(self) -> None:
        doubling = " | ".join(["[@, @]"] * 30)
        text = packaged().replace('extensions = "extensions"\n', f'"extensions.x" = "[name] | {doubling}"\n')
        assert "repeats what it reads too often" in wrong_with(text)[0]

    def test_that_goes_over_the_record_again_for_every_element_is_refused(self) -> None:
        nested = '[fields.units.fields.again]\neach = "$.units"\n[fields.units.fields.again.fields]\na = "unit"\n'
        (problem, *_) = wrong_with(packaged().replace("[[examples]]", f"{nested}\n[[examples]]", 1))
        assert "once more for each element" in problem

    def test_cannot_speak_for_another_brand(self, desk: Desk) -> None:
        text = packaged().replace('spu = "spu"\n', 'spu = "spu"\nbrand = { const = "sister" }\n')
        desk_results = []
        try:
            revise(desk, text)
        except RejectedError:
            return
        desk_results = desk.push("products", product("A"))
        assert statuses(desk_results) == ["quarantined"]
        assert desk.one("SELECT count(*) FROM sku") == 0


def test_every_packaged_table_stays_well_within_the_bounds() -> None:
    most, total = reach.growth(load_mapping("sap", "stock_in").table)
    assert most * 10 < reach.MAX_GROWTH
    assert total * 10 < reach.MAX_TOTAL_GROWTH


def test_what_is_masked_follows_the_field_wherever_the_table_puts_it() -> None:
    table = load_mapping("pos", "sale_in").table
    assert reach.personal_targets(table, ("consignee.phone",)) == {"receiver.mobile"}
    assert reach.personal_targets(table, ("details[].goodsCode",)) == {"lines.sku"}
    assert reach.personal_targets(table, ("consignee",)) >= {"receiver.mobile", "receiver.region_code"}
    assert reach.unread(table, ("vipNo", "consignee.phone")) == {"vipNo"}
