"""Internal traffic: events that `radar.yaml` marks are flagged, and all others are not."""

from pathlib import Path

import pytest

from radar_assets.config import ConfigError, load_config, load_declarations
from radar_assets.events.declarations import Declarations
from radar_assets.events.internal_traffic import InternalTraffic
from radar_assets_tests.events.enriching import enrich, raw_row

OFFICE = InternalTraffic(name="o'ffice", addresses=("192.0.2.7", "198.51.100.0/22", "2001:db8:1:2::/64"))  # pyright: ignore[reportArgumentType]
TEAM = InternalTraffic(
    name="team",
    projects=("p1", "p3"),
    hosts=("localhost", "*.Staging.example."),
    users=("o'brien", "u-2"),
    flags=("internal",),
)
DECLARED = Declarations(internal_traffic=(OFFICE, TEAM))
URL = "https://shop.example/"


@pytest.mark.parametrize(
    ("url", "fields", "is_internal"),
    [
        (URL, {}, False),
        ("http://localhost:3000/", {}, True),
        ("http://localhost:3000/", {"project_id": "p2"}, False),
        ("https://a.staging.example/", {}, True),
        ("https://A.B.staging.example:8443/", {"project_id": "p3"}, True),
        ("https://staging.example/", {}, False),
        ("https://notstaging.example/", {}, False),
        (URL, {"user_id": "o'brien"}, True),
        (URL, {"user_id": "u-2", "anonymous_id": None}, True),
        (URL, {"user_id": "u-22"}, False),
        (f"{URL}?a=b&internal=1", {}, True),
        (f"{URL}?internal", {}, True),
        (f"{URL}?internal=0", {}, False),
        (f"{URL}?not_internal=1", {}, False),
        (f"{URL}?internals=1", {}, False),
        (URL, {"ip": "192.0.2.7"}, True),
        (URL, {"ip": "192.0.2.0"}, True),  # truncated
        (URL, {"ip": "192.0.2.8"}, False),
        (URL, {"ip": "198.51.103.99", "project_id": "p2"}, True),
        (URL, {"ip": "198.51.104.0"}, False),
        (URL, {"ip": "2001:db8:1::"}, True),  # truncated
        (URL, {"ip": "2001:db8:1:2::9"}, True),
        (URL, {"ip": "2001:db8:1:3::9"}, False),
        (URL, {"ip": "no address"}, False),
        (URL, {"ip": None}, False),
    ],
)
def test_addresses_hosts_users_and_flags_mark_events(url: str, fields: dict, is_internal: bool) -> None:
    columns = dict(fields)
    row = raw_row({"url": url}, {"ip": columns.pop("ip", None)}, **columns)
    assert [event["is_internal"] for event in enrich([row], declared=DECLARED)] == [is_internal]
    assert [event["is_internal"] for event in enrich([row])] == [False]


def test_the_section_is_read_from_the_file_and_mistakes_are_named(tmp_path: Path) -> None:
    file = tmp_path / "radar.yaml"
    file.write_text(
        "internal_traffic:\n  - name: office\n    addresses: [192.0.2.9/24]\n    hosts: [localhost]\n"
        "pages:\n  - {project: docs, hash_routing: true}\n"
    )
    section = load_declarations(file)
    assert section.internal_traffic[0].addresses == ("192.0.2.0/24",)
    assert [pages.project for pages in section.pages if pages.hash_routing] == ["docs"]
    for entry, message in (
        ("{name: x}", "marks nothing"),
        ("{name: x, addresses: [office]}", "is not an address or network"),
        ("{name: x, hosts: ['https://a.example']}", "is not a host"),
        ("{name: x, hostz: [a]}", 'did you mean "hosts"'),
        ("{name: x, users: [a]}\n  - {name: x, users: [b]}", "occurs more than once"),
    ):
        file.write_text(f"internal_traffic:\n  - {entry}\n")
        with pytest.raises(ConfigError, match=message):
            load_config(file)
