"""The contenders of the SOAP benchmark do the same work."""

import sys

import pytest
from lxml import etree

from benchmarks import soap as benchmark


def test_every_message_is_whole_and_different() -> None:
    one, two = (benchmark.parse(benchmark.make_body(message)) for message in (1, 2))
    assert len(one) == len(two) == benchmark.ITEMS
    assert len({(record["sku"], record["location"]) for record in one}) == benchmark.ITEMS
    assert one[0]["quantity"] != two[0]["quantity"]
    assert one[0]["location"] != two[0]["location"]
    assert "🧶" in one[0]["sku"]


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="spyne does not run on Python 3.12 and newer")
def test_spyne_answers_the_same() -> None:
    body = benchmark.make_body(3)
    ours, theirs = (etree.fromstring(call(body)) for call in (benchmark.parse_and_render, benchmark.spyne_server()))
    for path in ("records", "accepted", "result/position", "result/sourceId", "result/status"):
        places = "{*}Body/{*}PushStockResponse/{*}" + path.replace("/", "/{*}")
        mine, other = ([place.text for place in answer.iterfind(places)] for answer in (ours, theirs))
        assert mine == other != [], path
