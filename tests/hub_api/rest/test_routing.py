"""``/v1/routing/rules``: read by everybody, published by those who may, each version kept and audited."""

from typing import Final

from tests.hub_api.conftest import Client

RULES: Final = "parcel_cost = 8.0\nper_km = 0.006\nmax_parcels = 2\n"
LIVE: Final = RULES + "[channels.live]\nmax_parcels = 1\n"
REASON: Final = "fewer parcels in spring"
PATH: Final = "/v1/routing/rules"


def test_a_brand_begins_with_the_built_in_rules(client: Client) -> None:
    found = client("ops:read").get(PATH).json()
    assert (found["version"], found["latest"], found["published_at"], found["channels"]) == (0, 0, None, [])
    assert found["base"]["max_parcels"] == 4
    assert client("ops:read").get(f"{PATH}/history").json() == {"items": [], "next": None}


def test_what_is_published_is_in_force_and_what_was_stays(client: Client) -> None:
    writer, reader = client("data:write"), client("ops:read")
    for number, text in enumerate((RULES, LIVE)):
        answer = writer.post(PATH, json={"text": text, "reason": REASON, "against": number})
        assert (answer.status_code, answer.json()) == (201, {"version": number + 1})
    found = reader.get(PATH).json()
    assert (found["version"], found["text"], found["note"], found["channels"]) == (2, LIVE, REASON, ["live"])
    assert found["published_by"].startswith("key:")
    earlier = reader.get(PATH, params={"version": 1}).json()
    assert (earlier["version"], earlier["latest"], earlier["text"]) == (1, 2, RULES)
    page = reader.get(f"{PATH}/history", params={"limit": 1}).json()
    assert ([head["version"] for head in page["items"]], page["next"]) == ([2], 2)
    rest = reader.get(f"{PATH}/history", params={"before": page["next"]}).json()
    assert [head["version"] for head in rest["items"]] == [1]
    assert client("ops:read", brand="sister").get(PATH).json()["version"] == 0


def test_publishing_is_audited(client: Client) -> None:
    client("data:write").post(PATH, json={"text": RULES, "reason": REASON, "against": 0}).raise_for_status()
    entries = client("audit:read").get("/v1/audit", params={"action": "rules.publish"}).json()["items"]
    assert [(entry["subject"], entry["detail"]["version"], entry["detail"]["reason"]) for entry in entries] == [
        ("rules:1", 1, REASON)
    ]


def test_the_same_text_again_is_the_same_version(client: Client) -> None:
    writer = client("data:write")
    versions = [
        writer.post(PATH, json={"text": RULES, "reason": REASON, "against": against}).json()["version"]
        for against in (0, 1)
    ]
    assert versions == [1, 1]


def test_rules_that_somebody_overtook_are_refused(client: Client) -> None:
    writer = client("data:write")
    writer.post(PATH, json={"text": RULES, "reason": REASON, "against": 0}).raise_for_status()
    answer = writer.post(PATH, json={"text": LIVE, "reason": REASON, "against": 0})
    assert (answer.status_code, answer.json()["code"]) == (409, "rules.overtaken")


def test_everything_wrong_with_a_text_is_said(client: Client) -> None:
    wrong = "parcel_cost = -1\nper_km = 1\nmax_parcel = 2\n"
    fields = {"parcel_cost", "max_parcels", "max_parcel"}
    answer = client("data:write").post(PATH, json={"text": wrong, "reason": REASON, "against": 0})
    assert answer.status_code == 422
    assert {error["field"] for error in answer.json()["errors"]} == fields
    checked = client("ops:read").post(f"{PATH}/check", json={"text": wrong}).json()
    assert {issue["field"] for issue in checked["issues"]} == fields
    assert client("data:write").get(f"{PATH}/history").status_code == 403


def test_a_text_is_checked_against_what_is_in_force(client: Client) -> None:
    client("data:write").post(PATH, json={"text": RULES, "reason": REASON, "against": 0}).raise_for_status()
    checked = client("ops:read").post(f"{PATH}/check", json={"text": LIVE}).json()
    assert (checked["against"], checked["issues"]) == (1, [])
    assert checked["changes"] == [{"channel": "live", "rule": "max_parcels", "before": 2, "after": 1}]
    assert "+max_parcels = 1" in checked["lines"]


def test_a_version_that_is_not_there_is_not_found(client: Client) -> None:
    answer = client("ops:read").get(PATH, params={"version": 3})
    assert (answer.status_code, answer.json()["code"]) == (404, "rules.unknown")
