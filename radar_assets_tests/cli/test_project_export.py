"""`radar project export` and the import of what it writes: the other home has the same numbers, and nothing of other projects."""

import gzip
import io
import json
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from radar_assets.access.projects import list_projects
from radar_assets.events.landing import list_hours, list_segments
from radar_assets.settings import Settings, load_settings
from radar_assets.store.database import open_store
from radar_assets_tests.cli.conftest import HOUR, Radar, land, load
from radar_assets_tests.platform import event, line

COUNTS = (
    "select received_hour, reason, count(*) as lines from raw_events where project_id = 'shop' group by all order by all",
    "select * exclude (segment, line_number) from events where project_id = 'shop' order by event_id",
    "select * from hourly_metrics where project_id = 'shop' order by all",
)
CANARY = "canary7f3a"


def landed(settings: Settings, radar: Radar) -> str:
    """Fill a home with a project, and another one that has the canary. Returns the key of the first one."""
    radar("project add shop --name 'The shop' --timezone Europe/Berlin --events-per-second 7")
    radar("project set-timezone shop Asia/Tokyo --yes")
    radar(f"project add blog --name {CANARY}")
    key = radar("key create shop").out
    at, before = HOUR + timedelta(minutes=5), HOUR - timedelta(hours=2)
    lines = [
        *(line(event(str(number), at, anonymous_id=f"visitor {number % 2}")) for number in range(5)),
        line(event("1", at)),
        line({**event("7", at), "timestamp": "never"}),
        line(event("8", at, project_id="blog", event=CANARY)),
        b'{"project_id": "sh\\u006fp", "event_id": "9", "text": "shop"}\n',
        b"not json shop\n",
    ]
    land(settings, lines, "a")
    land(settings, [line(event("10", before)), line(event("11", before, project_id="blog"))], "b", before)
    load(settings)
    return key


def numbers(radar: Radar) -> list[list[dict]]:
    """What the tables say of the project."""
    found = []
    for query in COUNTS:
        run = radar(f'sql --format json "{query}"')
        assert run.code == 0, run.err
        found.append(json.loads(run.out))
    return found


def test_another_home_has_the_same_numbers_of_the_project(
    radar: Radar, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, folder = landed(settings, radar), tmp_path / "export"
    before = numbers(radar)
    assert before[0] and before[1] and before[2]
    run = radar(f"project export shop '{folder}'")
    assert (run.code, run.out) == (0, f"Exported 9 lines of 2 hours to {folder}.\n"), run.err
    whole = b"".join(gzip.decompress(path.read_bytes()) for path in folder.rglob("*.gz"))
    text = (folder / "manifest.json").read_text()
    assert CANARY not in text + whole.decode()
    assert "blog" not in text
    manifest = json.loads(text)
    assert [each["lines"] for each in manifest["files"]] == [1, 8]
    assert [each["kind"] for each in manifest["keys"]] == ["write"]
    assert "hash" not in text
    assert not any(word in text for word in key.split() if word.startswith("write_"))
    assert "exists already" in radar(f"project export shop '{folder}'").err
    assert json.loads(radar("audit list --format json").out)[0]["action"] == "project.export"

    monkeypatch.setenv("RADAR_HOME", str(tmp_path / "other"))
    assert "is unknown" in radar(f"project export shop '{tmp_path / 'x'}'").err
    run = radar(f"import '{folder}' --build")
    assert run.code == 0, run.err
    assert "shop: 9 events (new)" in run.out
    assert numbers(radar) == before
    (project,) = list_projects(open_store(load_settings().database))
    assert (project.name, project.timezone, project.events_per_second) == ("The shop", "Asia/Tokyo", 7)
    assert "imported before" in radar(f"import '{folder}'").out


def test_the_lines_go_to_a_pipe(radar: Radar, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    landed(settings, radar)
    pipe = io.TextIOWrapper(io.BytesIO())
    with monkeypatch.context() as streams:
        streams.setattr(sys, "stdout", pipe)
        radar("project export shop -")
    written = pipe.buffer.getvalue().decode()  # type: ignore[attr-defined]
    ids = [json.loads(text)["event_id"] for text in written.splitlines()]
    assert ids == ["10", "0", "1", "2", "3", "4", "1", "7", "9"]


def test_a_changed_export_is_not_imported(radar: Radar, settings: Settings, tmp_path: Path) -> None:
    landed(settings, radar)
    folder = tmp_path / "export"
    radar(f"project export shop '{folder}'")
    assert "--format is missing" in radar(f"import '{next(folder.rglob('*.gz'))}'").err
    assert "leave out" in radar(f"import '{folder}' --project blog").err
    file = next(folder.rglob("*.gz"))
    content = file.read_bytes()
    file.write_bytes(content + gzip.compress(b"{}\n"))
    assert "its hash differs" in radar(f"import '{folder}'").err
    file.unlink()
    assert "can't read" in radar(f"import '{folder}'").err
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][0]["path"] = "../outside"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert "not in the folder" in radar(f"import '{folder}'").err
    (folder / "manifest.json").unlink()
    assert "is not an export" in radar(f"import '{folder}'").err


def test_hours_that_are_no_longer_landed_are_named(radar: Radar, settings: Settings, tmp_path: Path) -> None:
    landed(settings, radar)
    first = min(list_hours(settings.landing))
    (segment,) = list_segments(settings.landing, first)
    segment.local_path.unlink()
    run = radar(f"project export shop '{tmp_path / 'export'}'")
    assert (run.code, "Incomplete" in run.err, f"{first:%Y-%m-%dT%H}" in run.err) == (1, True, True)
