"""The live numbers over HTTP, of a collector with several workers that is killed and restarted, and in the terminal."""

import os
import signal
from pathlib import Path

from radar_assets.access.keys import create_key
from radar_assets_tests.cli.conftest import Radar, radar
from radar_assets_tests.collector.processes import CollectorProcess, collecting
from radar_assets_tests.patience import eventually

__all__ = ["radar"]

CONNECTIONS = 12
"""Each goes to one of two workers; all go to the same one once in 2,000 times."""


def seen(collector: CollectorProcess, key: str) -> set[tuple[int, int]]:
    """Events and visitors, as seen on each connection."""
    headers = {"Authorization": f"Bearer {key}"}
    answers = [collector.request("GET", "/v1/live?project=shop", headers=headers).json() for _ in range(CONNECTIONS)]
    return {(answer["events"], answer["visitors"]) for answer in answers}


def test_every_worker_also_a_new_one_soon_counts_the_events_of_all(radar_home: Path, radar: Radar) -> None:
    with collecting(radar_home, workers=2) as collector:
        key, other = (create_key(collector.store, project, kind="read") for project in ("shop", "blog"))
        for number in range(CONNECTIONS):
            visit = {"type": "page", "anonymous_id": f"visitor {number % 3}", "properties": {"path": f"/{number % 2}"}}
            assert collector.send(visit).status == 200
        eventually(lambda: seen(collector, key) == {(CONNECTIONS, 3)})
        for wrong, status in ((collector.keys["shop"], 401), (other, 403), ("", 401)):
            headers = {"Authorization": f"Bearer {wrong}"}
            assert collector.request("GET", "/v1/live?project=shop", headers=headers).status == status
        os.killpg(collector.pid, signal.SIGKILL)
    with collecting(radar_home, workers=2) as collector:
        assert seen(collector, key) == {(CONNECTIONS, 3)}
        shown = radar(f"live shop --url {collector.url} --key {key}")
        refused = radar(f"live shop --url {collector.url} --key {collector.keys['shop']}")
        assert collector.send({"type": "page", "user_id": "staff", "properties": {"path": "/2"}}).status == 200
        eventually(lambda: seen(collector, key) == {(CONNECTIONS + 1, 4)})
        (radar_home / "radar.yaml").write_text("internal_traffic: [{name: team, users: [staff]}]")
        assert radar("apply").code == 0
        eventually(lambda: seen(collector, key) == {(CONNECTIONS, 3)})
    gone = radar(f"live shop --url {collector.url} --key {key}")
    for run in (shown, radar("live shop --once")):
        assert run.code == 0
        assert "3 visitors   12 page views   12 events" in run.out
        assert "/0" in run.out
    assert (refused.code, gone.code) == (1, 1)
    assert "rejected the key" in refused.err
    assert "can't reach" in gone.err


def test_an_unknown_project_is_distinguished_from_one_without_events(radar_home: Path, radar: Radar) -> None:
    radar("project add shop")
    unknown = radar("live shoop")
    assert (unknown.code, unknown.out) == (2, "")
    assert "unknown project shoop" in unknown.err
    assert "shop" in unknown.err
    assert "0 visitors   0 page views   0 events" in radar("live shop").out
