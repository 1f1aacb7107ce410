"""`radar suppressions` adds, lists and removes addresses that get no mail."""

from radar_assets.settings import Settings
from radar_assets_tests.cli.conftest import Radar


def test_addresses_are_added_listed_and_removed(radar: Radar, settings: Settings) -> None:
    assert "No address is suppressed" in radar("suppressions list").out
    assert radar("suppressions add ann@shop.example").code == 0
    assert radar("suppressions add bob@shop.example --group alerts").code == 0
    listed = radar("suppressions list").out
    for word in ("ann@shop.example", "all", "bob@shop.example", "alerts", "unsubscribed"):
        assert word in listed
    assert radar("suppressions remove ann@shop.example").code == 0
    again = radar("suppressions remove ann@shop.example")
    assert (again.code, "is not suppressed" in again.err) == (2, True)
    assert "ann@shop.example" not in radar("suppressions list").out
    assert "is not a mail address" in radar("suppressions add ann").err
