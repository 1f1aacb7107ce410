"""What happens in a home while `radar dev` runs, as one line each: loaded events, alerts that fired or recovered, failed runs."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from radar_assets.cli.terminal import counted, printable, radar_command
from radar_assets.windows import utc_now

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from radar_assets.settings import Settings
    from radar_assets.store.database import Store

PAUSE_S = 2
"""Between two looks at the storages, which take some milliseconds."""
MAX_LINES = 10
"""Lines about alerts in a look; late data can change hundreds at once."""
MAX_READ = 1000


class Happenings:
    """Follows a home from the moment of its creation on.

    Args:
        ui: URL of the UI, for links.
        show: prints a line.
    """

    def __init__(self, settings: "Settings", ui: str, show: Callable[[str], None]) -> None:
        self._settings, self._ui, self._show = settings, ui, show
        self._opened = ExitStack()
        self._sources: tuple[DagsterInstance, Store] | None = None
        self._look_at, self._problem = 0.0, ""
        self._began = time.time()
        self._loaded: int | None = None
        self._failed: set[str] = set()
        self._alerts: dict[str, str] | None = None
        self._alerts_since = utc_now()

    def __enter__(self) -> "Happenings":
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def look(self) -> None:
        """Show what has happened since the last look, unless that was just now.

        An error is shown once and doesn't end anything: the services say in their logs what is wrong.
        """
        if time.monotonic() < self._look_at:
            return
        try:
            lines = list(self._lines(*self._open()))
        except Exception as error:
            lines = [f"Can't follow what happens: {type(error).__name__}: {error}"]
            lines, self._problem = [] if lines == [self._problem] else lines, lines[0]
        for line in lines:
            self._show(printable(line))
        self._look_at = time.monotonic() + PAUSE_S

    def _open(self) -> "tuple[DagsterInstance, Store]":
        if self._sources is None:
            # Here, since the services start faster while this process imports nothing.
            from dagster import DagsterInstance

            from radar_assets.orchestration.runtime.instance import prepare_instance
            from radar_assets.store.database import open_store

            store = open_store(self._settings.database)
            self._opened.callback(store.close)
            instance = DagsterInstance.from_config(str(prepare_instance(self._settings)))
            # Not entered: Dagster keeps what an entered instance sets until the ones entered before it are left, in reverse order.
            self._opened.callback(instance.dispose)
            self._sources = instance, store
        return self._sources

    def _lines(self, instance: "DagsterInstance", store: "Store") -> Iterator[str]:
        yield from self._loads(instance)
        yield from self._alert_changes(store)
        yield from self._failures(instance)

    def _loads(self, instance: "DagsterInstance") -> Iterator[str]:
        """A line for each run that has loaded lines."""
        from dagster import AssetKey, AssetRecordsFilter

        records = instance.fetch_materializations(
            AssetRecordsFilter(AssetKey("raw_events"), after_timestamp=self._began, after_storage_id=self._loaded),
            limit=MAX_READ,
            ascending=True,
        ).records
        loads: dict[str, Any] = {}
        for record in records:
            self._loaded = record.storage_id
            if record.asset_materialization and (load := record.asset_materialization.metadata.get("loaded")):
                loads[record.run_id] = load.value
        for load in loads.values():
            events, rejected = load["accepted"], load["rejected"]
            if events or rejected:
                more = f', {rejected:,} rejected ({radar_command()} sql "from rejected_events")' if rejected else ""
                yield f"{counted(events, 'event')} loaded{more}"

    def _alert_changes(self, store: "Store") -> Iterator[str]:
        """A line for each alert that has fired or ended."""
        import sqlalchemy as sa

        from radar_assets.store.models import OPEN_STATES, Alert, Project

        columns = Alert.id, Alert.rule, Alert.project_id, Project.name, Alert.subject, Alert.state, Alert.updated_at
        query = sa.select(*columns).outerjoin(Project, Project.id == Alert.project_id).order_by(Alert.updated_at)
        is_first = self._alerts is None
        known = self._alerts = self._alerts or {}
        if is_first:
            query = query.where(sa.or_(Alert.state.in_(OPEN_STATES), Alert.updated_at >= self._alerts_since))
        else:
            query = query.where(Alert.updated_at >= self._alerts_since)
        with store.session(read_only=True) as session:
            found = session.execute(query).all()
        lines = []
        for id, rule, project_id, name, subject, state, updated_at in found:
            before, known[id] = known.get(id), state
            if updated_at < self._alerts_since or state == before:
                continue
            self._alerts_since = max(self._alerts_since, updated_at)
            lines.append(f"{rule} {_change(before, state)}: {name or project_id or subject}")
        yield from lines[:MAX_LINES]
        if len(lines) > MAX_LINES:
            yield f"and {counted(len(lines) - MAX_LINES, 'more alert')} changed ({radar_command()} alerts list --all)"

    def _failures(self, instance: "DagsterInstance") -> Iterator[str]:
        """A line for each run that has failed."""
        from datetime import UTC, datetime

        from dagster import DagsterRunStatus, RunsFilter

        failed = RunsFilter(statuses=[DagsterRunStatus.FAILURE], updated_after=datetime.fromtimestamp(self._began, UTC))
        for run in reversed(instance.get_runs(failed, limit=MAX_READ)):
            if run.run_id not in self._failed:
                self._failed.add(run.run_id)
                yield f"{run.job_name} failed: {self._ui}/runs/{run.run_id}"


def _change(before: str | None, state: str) -> str:
    """What happened to an alert whose state changed."""
    if state == "firing":
        return "has data again and is firing" if before == "no_data" else "fired"
    if state == "no_data":
        return "has no data"
    if state == "ended_without_data":
        return "ended without data"
    return "recovered" if before else "fired and recovered"
