"""The ``yipan`` of the tests."""

from tests.hub_api.test_cli import yipan  # noqa: F401 - a fixture
