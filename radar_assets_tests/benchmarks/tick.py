"""10,000 newly landed events to updated hourly metrics, under a real daemon, against a run of an asset that does nothing."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from radar_assets.events.landing import write_segment
from radar_assets_tests.benchmarks import traffic
from radar_assets_tests.benchmarks.measurement import Figure
from radar_assets_tests.benchmarks.noop import TRIGGER

if TYPE_CHECKING:
    from dagster import DagsterInstance, DagsterRun

EVENTS = 10_000
SAMPLES = 7
MAX_OVER_S = 3.0
PATIENCE_S = 300


class NoRunError(Exception):
    """The daemon started no run, or the run failed."""


class Tick(NamedTuple):
    """Moments of a tick and its run, in seconds since 1970; `steps` are durations."""

    began: float
    created: float
    started: float
    materialized: float
    steps: dict[str, float]


def run(folder: Path, scale: float) -> list[Figure]:
    """Medians of a tick and of its parts.

    Raises:
        NoRunError: the daemon started no run, or the run failed.
    """
    from dagster import DagsterInstance

    events, samples = max(1, round(EVENTS * scale)), max(1, round(SAMPLES * scale))
    trigger, landing = folder / "trigger", folder / "landing"
    environment = traffic.environment_of(folder / "home", landing)
    settings = traffic.prepare_home(environment, projects=3)
    os.environ[TRIGGER] = str(trigger)
    hours = traffic.hours_of_lines(traffic.DAY, events, samples + 1)
    ticks: list[Tick] = []
    floor: list[Tick] = []
    with DagsterInstance.get() as instance, _daemon(folder):
        # They alternate, so that both see the same load. The first of each is slower, since the caches are empty.
        for number in range(samples + 1):
            hour, lines = next(hours)
            write_segment(settings.landing, hour, f"tick-{number}", [lines])
            ticks.append(_next_tick(instance, "landing_sensor", "hourly_metrics", number))
            trigger.touch()
            floor.append(_next_tick(instance, "noop_sensor", "nothing", number))
            _let_runs_end(instance)
    return _figures(ticks[1:], floor[1:])


def _figures(ticks: list[Tick], floor: list[Tick]) -> list[Figure]:
    spans = {
        f"{EVENTS:,} events to hourly_metrics": lambda tick: tick.materialized - tick.began,
        "the sensor looks, the run is recorded": lambda tick: tick.created - tick.began,
        "queue and process start": lambda tick: tick.started - tick.created,
        "the run, until hourly_metrics is committed": lambda tick: tick.materialized - tick.started,
    }
    figures = [
        Figure(
            "tick",
            name,
            median(map(span, ticks)),
            "s",
            median(map(span, floor)),
            max_over=None if index else MAX_OVER_S,
        )
        for index, (name, span) in enumerate(spans.items())
    ]
    steps = {name: median(tick.steps.get(name, 0) for tick in ticks) for name in ticks[0].steps}
    return [*figures, *(Figure("tick", f"step {name}", time, "s") for name, time in steps.items())]


@contextmanager
def _daemon(folder: Path) -> Iterator[None]:
    """Dagster's daemon with the code locations of Radar and of the floor, until the block ends."""
    workspace = folder / "workspace.yaml"
    modules = ("radar_assets.definitions", "radar_assets_tests.benchmarks.noop")
    entries = [f"  - python_module: {{module_name: {module}}}\n" for module in modules]
    workspace.write_text("load_from:\n" + "".join(entries))
    command = [sys.executable, "-m", "dagster._daemon", "run", "--workspace", str(workspace)]
    with (folder / "daemon.log").open("wb") as log:
        # Compiled modules are kept, as in an installation, whatever the developer's environment says.
        process = subprocess.Popen(
            command, env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""}, stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait()


def _next_tick(instance: "DagsterInstance", sensor: str, asset: str, done: int) -> Tick:
    """The tick after `done` others that requested a run, once that run has ended."""
    from dagster import DagsterEventType, DagsterRunStatus, RunsFilter

    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        runs = instance.get_runs(RunsFilter(tags={"dagster/sensor_name": sensor}))
        if len(runs) > done and runs[0].is_finished:
            break
        time.sleep(0.2)
    else:
        raise NoRunError(f"{sensor} has started no run that ended within {PATIENCE_S} s")
    latest = runs[0]
    if latest.status != DagsterRunStatus.SUCCESS:
        raise NoRunError(f"the run {latest.run_id} of {sensor} ended as {latest.status.value}")
    entries = instance.all_logs(latest.run_id, of_type=DagsterEventType.ASSET_MATERIALIZATION)
    record = instance.get_run_record_by_id(latest.run_id)
    assert record and record.start_time
    return Tick(
        began=_tick_began(instance, latest),
        created=record.create_timestamp.timestamp(),
        started=record.start_time,
        materialized=next(
            e.timestamp
            for e in entries
            if e.asset_materialization and e.asset_materialization.asset_key.path[-1] == asset
        ),
        steps={s.step_key: (s.end_time or 0) - (s.start_time or 0) for s in instance.get_run_step_stats(latest.run_id)},
    )


def _let_runs_end(instance: "DagsterInstance") -> None:
    """Wait for the runs of other sensors, which would compete with the next one for the processor."""
    from dagster import DagsterRunStatus, RunsFilter

    under_way = [DagsterRunStatus.QUEUED, DagsterRunStatus.STARTING, DagsterRunStatus.STARTED]
    while instance.get_runs(RunsFilter(statuses=under_way), limit=1):
        time.sleep(0.5)


def _tick_began(instance: "DagsterInstance", run: "DagsterRun") -> float:
    """When the tick that requested a run began."""
    state = next(s for s in instance.all_instigator_state() if s.name == run.tags["dagster/sensor_name"])
    ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id)
    return next(tick.timestamp for tick in ticks if run.run_id in tick.run_ids)
