"""A disk that fills up while a run writes gives a clear error and changes nothing visible, and the next run succeeds."""

from pathlib import Path

import dagster as dg
import pytest

from radar_assets.settings import load_settings
from radar_assets_tests.faults import workers
from radar_assets_tests.platform import Platform, event


def test_a_full_disk_changes_nothing_visible_and_the_next_run_succeeds(small_disk: Path, tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path / "radar", warehouse_url=f"file://{small_disk}").prepare()
    platform = Platform(settings, dg.DagsterInstance.local_temp(str(tmp_path)))
    platform.land(workers.START, [event("1", workers.START)], "first")
    platform.rebuild("hourly_job", workers.hour_key(0), workers.hour_key(0))
    before = platform.tables()

    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space left"), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"0" * 65536)
    platform.land(workers.START, [event(str(number), workers.START) for number in range(2, 2000)], "second")
    result = platform.defs.resolve_job_def("hourly_job").execute_in_process(
        instance=platform.instance, partition_key=workers.hour_key(0), raise_on_error=False
    )
    assert not result.success
    reason = str(result.failure_data_for_node("raw_events"))
    assert "No space left on device" in reason or "disk" in reason.lower()
    assert platform.tables() == before

    filler.unlink()
    platform.rebuild("hourly_job", workers.hour_key(0), workers.hour_key(0))
    assert len(platform.rows("events")) == 1999
