"""The lines of `radar dev`: alerts that fire and recover, and failed runs, each once."""

import time
from datetime import timedelta

import dagster as dg

from radar_assets.access.projects import ensure_projects
from radar_assets.cli import happenings
from radar_assets.cli.happenings import Happenings
from radar_assets.settings import Settings
from radar_assets.store.database import open_store
from radar_assets.store.models import Alert, Project
from radar_assets.windows import HOUR, utc_now
from radar_assets_tests.platform import instance_of

UI = "http://127.0.0.1:3000"


@dg.op
def breaks() -> None:
    raise ValueError("broken")


@dg.job
def broken_job() -> None:
    breaks()


def test_alerts_and_failed_runs_are_shown_once(settings: Settings) -> None:
    lines: list[str] = []
    store = open_store(settings.database)
    ensure_projects(store, [Project("pico", name="Pico Games")])
    began = utc_now().replace(microsecond=0)

    def save(state: str, step: int) -> None:
        at = began + timedelta(hours=step)
        alert = Alert(id="a1", rule="traffic_dropped", project_id="pico", subject="", kind="metric", severity="high")
        alert.started_at = alert.fired_at = began - HOUR
        alert.ended_at, alert.state, alert.details, alert.updated_at = began, state, {}, at
        with store.session() as session:
            session.merge(alert)

    with Happenings(settings, UI, lines.append) as following, instance_of(settings) as instance:

        def seen() -> list[str]:
            time.sleep(happenings.PAUSE_S)
            lines.clear()
            following.look()
            return list(lines)

        assert seen() == []
        save("firing", 5)
        assert seen() == ["traffic_dropped fired: Pico Games"]
        for step, (state, line) in enumerate(
            [("no_data", "has no data"), ("firing", "has data again and is firing")], start=6
        ):
            save(state, step)
            assert seen() == [f"traffic_dropped {line}: Pico Games"]
        save("resolved", 10)
        run = broken_job.execute_in_process(instance=instance, raise_on_error=False)
        assert seen() == ["traffic_dropped recovered: Pico Games", f"broken_job failed: {UI}/runs/{run.run_id}"]
        assert seen() == []
    store.close()
