"""Addresses become points of a stated precision, and never another place's."""

import csv
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical_model.location import Point, Precision
from flows.one_stock.geography import distance_km, find_name, locate

degrees = st.tuples(st.floats(-90, 90), st.floats(-180, 180))


def _divisions() -> dict[str, dict[str, str]]:
    with (files("flows.one_stock") / "regions.csv").open(encoding="utf-8") as lines:
        return {row["code"]: row for row in csv.DictReader(lines)}


DIVISIONS = _divisions()


def code_of(point: Point | None) -> str | None:
    """The division whose seat the point is; the widest where a province and its capital share it."""
    if point is None:
        return None
    found = [c for c, row in DIVISIONS.items() if (float(row["lat"]), float(row["lon"])) == (point.lat, point.lon)]
    return min(found)


def test_own_coordinates_win() -> None:
    point = locate({"point": {"lat": 31.0, "lon": 121.0}, "city": "北京市"})
    assert point is not None
    assert (point.lat, point.precision) == (31.0, Precision.EXACT)


@pytest.mark.parametrize(
    ("province", "city", "district", "street", "code"),
    [
        # whole names, each where it belongs
        ("浙江省", "杭州市", "西湖区", "文三路 90 号", "330106"),
        ("江西省", "南昌市", "西湖区", "", "360103"),
        ("北京市", "北京市", "朝阳区", "建国路 88 号", "110105"),
        ("吉林省", "长春市", "朝阳区", "人民大街", "220104"),
        ("江苏省", "南京市", "鼓楼区", "中山北路", "320106"),
        ("江苏省", "徐州市", "鼓楼区", "", "320302"),
        ("福建省", "福州市", "鼓楼区", "", "350102"),
        ("河南省", "开封市", "鼓楼区", "", "410204"),
        ("上海市", "市辖区", "浦东新区", "张江路", "310115"),
        ("上海市", "上海市", "浦东新区", "", "310115"),
        ("重庆市", "县", "巫山县", "", "500237"),
        ("湖北省", "省直辖县级行政区划", "仙桃市", "", "429004"),
        ("湖北省", "仙桃市", "", "", "429004"),
        ("广东省", "东莞市", "", "虎门镇", "441900"),
        ("海南省", "三亚市", "", "", "460200"),
        ("河北省", "唐山市", "路南区", "", "130202"),
        # short names and other endings
        ("北京", "北京", "海淀", "", "110108"),
        ("广东", "深圳", "南山", "", "440305"),
        ("内蒙古", "呼和浩特", "", "", "150100"),
        ("广西", "南宁", "青秀", "", "450103"),
        ("新疆", "乌鲁木齐", "天山区", "", "650102"),
        ("宁夏", "银川", "", "", "640100"),
        ("西藏", "拉萨", "", "", "540100"),
        ("湖北省", "恩施州", "", "", "422800"),
        ("湖北省", "恩施州", "恩施市", "", "422801"),
        ("吉林", "延边", "", "", "222400"),
        ("吉林", "吉林", "", "", "220200"),
        ("吉林", "", "", "", "220000"),
        ("海南", "", "", "", "460000"),
        ("河南", "", "", "", "410000"),
        ("香港", "", "", "", "810000"),
        ("云南", "西双版纳", "", "", "532800"),
        ("新疆", "伊犁", "", "", "654000"),
        ("吉林省", "伊通县", "", "", "220323"),
        # a level left out, or in another field
        ("江苏省", "", "昆山市", "", "320583"),
        ("北京", "朝阳区", "三环到四环之间", "", "110105"),
        ("", "杭州市", "西湖区", "", "330106"),
        ("", "浙江省杭州市", "余杭区", "", "330110"),
        ("", "", "浦东新区", "", "310115"),
        ("", "", "义乌市", "", "330782"),
        ("江苏省", "", "鼓楼区", "", "320000"),
        ("湖北省", "武汉市", "光谷", "", "420100"),
        ("台湾省", "台北市", "", "", "710000"),
        # a free line
        ("", "", "", "广东省深圳市南山区科技园南路 1 号", "440305"),
        ("", "", "", "广东深圳南山科技园", "440300"),
        ("", "", "", "北京市朝阳区建国路 88 号", "110105"),
        ("", "", "", "北京朝阳区三里屯", "110105"),
        ("", "", "", "上海上海市徐汇区漕溪北路", "310104"),
        ("", "", "", "中国 浙江省 / 杭州市 / 滨江区 网商路", "330108"),
        ("", "", "", "内蒙古自治区鄂尔多斯市东胜区", "150602"),
        ("", "", "", "新疆维吾尔自治区石河子市北泉镇", "659001"),
        ("", "", "", "吉林市昌邑区江湾路", "220202"),
        ("", "", "", "河北唐山市路北区新华道", "130203"),
        ("", "", "", "江苏省昆山市花桥镇", "320583"),
        ("浙江省", "杭州市", "", "浙江省杭州市萧山区市心路", "330109"),
        ("浙江省", "杭州市", "", "萧山区市心路", "330109"),
        ("上海市", "", "", "徐汇区肇嘉浜路", "310104"),
        # what begins like a place is none
        ("上海市", "", "", "南京东路 100 号", "310000"),
        ("上海市", "上海市", "", "北京西路 1 号", "310000"),
        ("广东省", "广州市", "", "东莞庄路 12 号", "440100"),
        ("广东省", "", "", "东莞庄路 12 号", "440000"),
        ("", "", "", "北京大学", None),
        ("", "", "", "南京东路 100 号", None),
        ("", "", "", "北京市场 3 栋", None),
        ("北京市", "", "", "朝阳门内大街", "110000"),
        ("", "", "", "朝阳区建国路 88 号", None),
        ("", "朝阳", "", "", None),
        ("", "", "鼓楼区", "", None),
        # names that contradict each other
        ("江苏省", "杭州市", "", "", None),
        ("浙江省", "杭州市", "浦东新区", "", None),
        # masked and encrypted
        ("浙江省", "杭州市", "***", "******", "330100"),
        ("浙江省", "杭*市", "西湖区", "", "330106"),
        ("**", "杭*市", "西湖区", "", None),
        ("浙**", "", "", "", None),
        ("上海*", "", "", "", None),
        ("", "", "", "******", None),
        ("", "", "", "~AgAAAQK3x8Zx2P1Yp6a~1~", None),
        ("~AgAAAQK3x8Z~1~", "~AgAAAQK~1~", "~AgAAA~1~", "~AgAAAQ~1~", None),
        ("#8sdKl#MTIz#", "", "", "#9xKl#", None),
        ("广东省", "~AgAAAQK3x8Z~1~", "~AgAAA~1~", "~AgAAAQ~1~", "440000"),
        ("广东省", "$Fy2d$3$", "", "AAAx8dYb2c==", "440000"),
        ("", "", "", "浙江省杭州市*****", "330100"),
        ("", "", "", "", None),
        ("Tokyo", "Shibuya", "", "1-2-3", None),
    ],
)
def test_an_address_is_where_its_names_say(
    province: str, city: str, district: str, street: str, code: str | None
) -> None:
    point = locate({"province": province, "city": city, "district": district, "street": street, "name": "陈一"})
    assert code_of(point) == code


@pytest.mark.parametrize(
    ("receiver", "code", "precision"),
    [
        ({"region_code": "330106"}, "330106", Precision.DISTRICT),
        ({"region_code": "331082"}, "331082", Precision.DISTRICT),
        ({"region_code": "3301"}, "330100", Precision.CITY),
        ({"region_code": "330106003000"}, "330106", Precision.DISTRICT),
        ({"region_code": "330199"}, "330100", Precision.CITY),
        ({"region_code": "339999"}, "330000", Precision.PROVINCE),
        ({"region_code": "110000"}, "110000", Precision.CITY),
        ({"region_code": "330100", "district": "西湖区"}, "330106", Precision.DISTRICT),
        ({"region_code": "330100", "city": "南京市"}, "330100", Precision.CITY),
        ({"region_code": "330199", "city": "南京市"}, "320100", Precision.CITY),
        ({"region_code": "330106", "city": "~AgAAA~1~", "street": "~AgAAA~1~"}, "330106", Precision.DISTRICT),
        ({"region_code": "CN-ZJ", "province": "浙江"}, "330000", Precision.PROVINCE),
        ({"region_code": "999999"}, None, None),
        ({"province": "上海市"}, "310000", Precision.CITY),
        ({"city": "武汉市", "province": "湖北省"}, "420100", Precision.CITY),
        ({"province": "湖北省"}, "420000", Precision.PROVINCE),
    ],
)
def test_a_code_counts_more_than_names(receiver: dict[str, str], code: str | None, precision: Precision | None) -> None:
    point = locate(receiver)
    assert (code_of(point), point.precision if point else None) == (code, precision)


@given(st.sampled_from(sorted(DIVISIONS)))
def test_every_division_is_found_by_its_code_and_by_its_names(code: str) -> None:
    lines = [f"{code[:2]}0000", f"{code[:4]}00", code]
    whole = "".join(DIVISIONS[each]["name"] for each in dict.fromkeys(lines) if each in DIVISIONS)
    expected = (float(DIVISIONS[code]["lat"]), float(DIVISIONS[code]["lon"]))
    for receiver in ({"region_code": code}, {"street": whole + "88 号"}):
        point = locate(receiver)
        assert point is not None
        assert (point.lat, point.lon) == expected


@given(st.text(max_size=40), st.text(alphabet="省市区县路北南京东朝阳海河*~#", max_size=12))
def test_whatever_stands_there_it_is_read(city: str, street: str) -> None:
    point = locate({"city": city, "street": street})
    assert point is None or code_of(point) is not None


def test_every_division_lies_within_reach_of_what_contains_it() -> None:
    for code, row in DIVISIONS.items():
        city = DIVISIONS.get(f"{code[:4]}00")
        parent = city or DIVISIONS[f"{code[:2]}0000"]
        far = distance_km(float(row["lat"]), float(row["lon"]), float(parent["lat"]), float(parent["lon"]))
        assert far < (1_500 if city in (None, row) or code[:4] == "4603" else 800), (code, row["name"])


def test_shanghai_to_beijing_is_1068_km() -> None:
    assert distance_km(31.23, 121.47, 39.90, 116.41) == pytest.approx(1068, abs=3)


@given(degrees, degrees)
def test_distance_is_symmetric_and_at_most_half_round_the_earth(a: tuple[float, float], b: tuple[float, float]) -> None:
    there, back = distance_km(*a, *b), distance_km(*b, *a)
    assert there == pytest.approx(back, abs=1e-6)
    assert 0 <= there <= 20_016


def test_a_code_has_a_name() -> None:
    assert [find_name(code) for code in ("33", "330100", "330106", "339999", "")] == [
        "浙江省",
        "杭州市",
        "西湖区",
        None,
        None,
    ]
