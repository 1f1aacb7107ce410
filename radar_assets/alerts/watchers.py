"""Judges rules about the platform itself: failed, stuck and slow runs, late partitions, the daemon, the health of components.

Everything is read from the current state of Dagster, tables and store. Episodes and announcements belong to `ledger.py`.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from radar_assets.alerts import slow_runs
from radar_assets.alerts.findings import Breach, Findings
from radar_assets.alerts.health_results import results_by_component
from radar_assets.alerts.rules import Rule, Watch, load_rules
from radar_assets.alerts.settings import AlertSettings
from radar_assets.calendar import IN_UTC, Calendar, bounds_of
from radar_assets.events.landing import list_hours
from radar_assets.events.loading import missing_segments
from radar_assets.lakehouse.files import EPOCH, from_unit
from radar_assets.lakehouse.lakehouse import Lakehouse
from radar_assets.lakehouse.snapshot import Snapshot
from radar_assets.lakehouse.staleness import missing_days, unread_files
from radar_assets.orchestration.attempts import ATTEMPT_TAG
from radar_assets.orchestration.retries import is_retried
from radar_assets.orchestration.run_tags import partition_span
from radar_assets.windows import DAY, DAY_KEY, HOUR, HOUR_KEY, Window, utc_now

if TYPE_CHECKING:
    from dagster import DagsterInstance, RunRecord

    from radar_assets.store.database import Store

THRESHOLDS: Mapping[Watch, float] = {
    "failed_runs": 0,
    "stuck_runs": 60,
    "slow_runs": 3,
    "late_partitions": 120,
    "daemon": 10,
    "health": 0,
}
"""Default thresholds: failed runs of a job in an hour; minutes of silence; how many times longer than usual; minutes of lateness,
without a heartbeat, and in poor health."""
HEALTHY_AFTER = 3
"""How many checks in a row a component must pass until its alert ends, so that one that comes and goes alerts once."""
SLOT = timedelta(minutes=5)
"""Lasting conditions are judged at the end of every five minutes, for the last hour, so that a late tick leaves no gap."""
SLOTS = 12
FAILURES_OF = timedelta(hours=24)
ENDED_WITHIN = timedelta(hours=2)
LOADED_WITHIN = timedelta(days=2)
DAYS_BACK = timedelta(days=7)
STALE_BACK = timedelta(days=35)
"""How far back partitions are checked: each tick lists the files of six tables, which grow with the months they hold."""
EXAMPLES = 5

CHECKED_AT = "alert_deliveries"
"""The asset that shows the checks of those rules that are judged here."""

Judged = dict[tuple[str, str], Sequence[Window]]


def find(
    rule: Rule,
    instance: "DagsterInstance",
    lakehouse: Lakehouse,
    store: "Store",
    now: datetime,
    firing: Collection[str] = (),
) -> Findings:
    """Judge a rule about the platform.

    Args:
        now: naive, UTC.
        firing: subjects whose alerts are firing. They are judged even if nothing else would include them any more, so that they end.
    """
    if rule.watch is None:
        raise ValueError(f"rule {rule.name} does not watch the platform")
    limit = THRESHOLDS[rule.watch] if rule.threshold is None else rule.threshold
    judged: Judged = {}
    breaches: list[Breach] = []
    if rule.watch == "failed_runs":
        _failed_runs(instance, now, limit, judged, breaches)
    elif rule.watch == "stuck_runs":
        _stuck_runs(instance, now, limit, firing, judged, breaches)
    elif rule.watch == "slow_runs":
        _slow_runs(instance, now, limit, judged, breaches)
    elif rule.watch == "late_partitions":
        _late_partitions(lakehouse, now, limit, judged, breaches)
    elif rule.watch == "health":
        _health(store, now, limit, firing, judged, breaches)
    else:
        _daemon(instance, now, limit, judged, breaches)
    return Findings(rule, judged, sorted(breaches, key=lambda breach: (breach.subject, breach.window)))


def watch_now(
    store: "Store",
    instance: "DagsterInstance",
    lakehouse: Lakehouse,
    settings: AlertSettings,
    *watched: Watch,
    now: datetime | None = None,
) -> int:
    """Judge the rules that watch any of these, outside of their checks, and record the findings.

    Returns:
        The number of announcements.
    """
    from radar_assets.alerts import ledger, records
    from radar_assets.alerts.announcements import Context

    context = Context(
        now=now or utc_now(),
        max_age=timedelta(hours=settings.alert_max_age_h),
        throttle_per_hour=settings.alert_throttle_per_hour,
        ui_url=settings.ui_url,
        metrics={},
        project_names={},
        asset=CHECKED_AT,
    )
    announced = 0
    for rule in load_rules(store):
        if rule.watch not in watched or not rule.enabled:
            continue
        firing = records.firing_subjects(store, rule.name)
        findings = find(rule, instance, lakehouse, store, context.now, firing)
        announced += ledger.record(store, findings, context).announced
    return announced


def daemon_seen(instance: "DagsterInstance") -> tuple[str, datetime] | None:
    """The required part of the daemon that has been silent for longest, and the time of its last heartbeat."""
    needed = set(instance.get_required_daemon_types())
    beats = {kind: _moment(beat.timestamp) for kind, beat in instance.get_daemon_heartbeats().items() if kind in needed}
    return min(beats.items(), key=lambda beat: beat[1]) if beats else None


def _failed_runs(
    instance: "DagsterInstance", now: datetime, limit: float, judged: Judged, breaches: list[Breach]
) -> None:
    """Judge jobs by hour: broken by runs that failed for good, resolved by an hour in which the job only succeeded."""
    from dagster import DagsterRunStatus

    failed: dict[str, dict[datetime, list[RunRecord]]] = defaultdict(lambda: defaultdict(list))
    for record in _ended(instance, [DagsterRunStatus.FAILURE], now - FAILURES_OF):
        if _is_final(record):
            failed[_subject(record.dagster_run.job_name)][Window.of_hour(_end(record)).start].append(record)
    fine: dict[str, set[datetime]] = defaultdict(set)
    for record in _ended(instance, [DagsterRunStatus.SUCCESS], now - ENDED_WITHIN):
        hour = Window.of_hour(_end(record))
        if hour.end <= now:
            fine[_subject(record.dagster_run.job_name)].add(hour.start)
    for job in {*failed, *fine}:
        broken = {hour: records for hour, records in failed[job].items() if len(records) > limit}
        hours = sorted({*broken, *(fine[job] - broken.keys())})
        judged["", job] = [Window.of_hour(hour) for hour in hours]
        for hour, records in broken.items():
            text = f"{_count(len(records), 'run')} of {job} failed: {_listed(_run_name(record) for record in records)}"
            breaches.append(_breach(job, Window.of_hour(hour), hour, len(records), limit, text))


def _stuck_runs(
    instance: "DagsterInstance",
    now: datetime,
    limit: float,
    firing: Collection[str],
    judged: Judged,
    breaches: list[Breach],
) -> None:
    """Judge runs: broken while a run is in progress without logging, resolved when it logs or ends."""
    from dagster import DagsterRunStatus, RunsFilter

    under_way = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]
    running: set[str] = set()
    for record in instance.get_run_records(RunsFilter(statuses=under_way)):
        run = record.dagster_run
        running.add(run.run_id)
        logged = instance.get_records_for_run(run.run_id, limit=1, ascending=False).records
        spoke = _moment(logged[0].timestamp) if logged else _naive(record.update_timestamp)
        text = (
            f"{run.job_name} ({_run_name(record)}) is running but has logged nothing since {spoke:%Y-%m-%d %H:%M} UTC"
        )
        _since(run.run_id, spoke, now, limit, text, judged, breaches)
    ended = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
    latest = _slots(now)[-1]
    for record in _ended(instance, ended, now - ENDED_WITHIN):
        began = _moment(record.start_time or record.create_timestamp.timestamp())
        if _end(record) - began >= timedelta(minutes=limit) and _end(record) <= latest.end:
            judged["", record.dagster_run.run_id] = [latest]
    for run_id in {*firing} - running:
        judged["", run_id] = [latest]


def _slow_runs(
    instance: "DagsterInstance", now: datetime, limit: float, judged: Judged, breaches: list[Breach]
) -> None:
    """Judge jobs: broken while a run takes much longer than usual, resolved when one succeeds in time."""
    from dagster import DagsterRunStatus, RunsFilter

    slots = _slots(now)
    under_way = RunsFilter(statuses=[DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING])
    ended = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
    records = [*instance.get_run_records(under_way), *_ended(instance, ended, slots[0].start)]
    for job, found in slow_runs.judge(instance, records, slots, limit, now).items():
        judged["", _subject(job)] = [slot for slot in slots if slot in found.slow or slot in found.fine]
        for slot, slow in found.slow.items():
            text = slow_runs.text(slow, _run_name(slow.record), now)
            breaches.append(_breach(_subject(job), slot, slot.start, slow.times, limit, text))


def _daemon(instance: "DagsterInstance", now: datetime, limit: float, judged: Judged, breaches: list[Breach]) -> None:
    """Judge the daemon: broken while a required part sends no heartbeat; never if no daemon has run yet."""
    if seen := daemon_seen(instance):
        part, last = seen
        text = f"The daemon ({part}) has sent no heartbeat since {last:%Y-%m-%d %H:%M} UTC"
        _since("", last, now, limit, text, judged, breaches)


def _health(
    store: "Store", now: datetime, limit: float, firing: Collection[str], judged: Judged, breaches: list[Breach]
) -> None:
    """Judge components: broken while their checks fail, resolved when several checks in a row have passed.

    Slots between are not judged, nor those without checks, so that they neither end an alert nor begin one.
    """
    slots = _slots(now)
    since = slots[0].start - timedelta(minutes=limit) - HEALTHY_AFTER * SLOT
    components = results_by_component(store, since, slots[-1].end)
    for component, results in components.items():
        passed, unwell_since = HEALTHY_AFTER, datetime.max
        verdicts: dict[Window, Breach | None] = {}
        for at, ok, detail in results:
            passed = passed + 1 if ok else 0
            unwell_since = datetime.max if passed >= HEALTHY_AFTER else min(unwell_since, at)
            slot = next((slot for slot in slots if slot.start <= at < slot.end), None)
            if slot is None:
                continue
            if passed >= HEALTHY_AFTER:
                verdicts.setdefault(slot, None)
            elif not ok and (minutes := (slot.end - unwell_since) / timedelta(minutes=1)) >= limit:
                text = f"{component}: {detail}"
                verdicts[slot] = _breach(_subject(component), slot, slot.start, minutes, limit, text)
        judged["", _subject(component)] = list(verdicts)
        breaches += filter(None, verdicts.values())
    # Those that are no longer checked while others are, such as URLs that were removed from radar.yaml.
    last = {_subject(component): results[-1][0] for component, results in components.items()}
    newest = max(last.values(), default=EPOCH)
    of_newest = [slot for slot in slots if slot.start <= newest < slot.end]
    for component in firing:
        if last.get(component, EPOCH) < newest - HEALTHY_AFTER * SLOT:
            judged["", component] = of_newest


def _late_partitions(lakehouse: Lakehouse, now: datetime, limit: float, judged: Judged, breaches: list[Breach]) -> None:
    """Judge tables: broken while partitions that have ended lack data that landed long ago."""
    late_after = timedelta(minutes=limit)
    tables: dict[str, Snapshot] = {}

    def table(name: str) -> Snapshot:
        return tables.setdefault(name, lakehouse.snapshot(name))

    calendar = lakehouse.calendar()
    late_since: dict[str, dict[str, datetime]] = {"raw_events": _unloaded(lakehouse, table("raw_events"), now)}
    for derived in lakehouse.tables.derived():
        late_since[derived.name] = _stale_since(table(derived.inputs[0].name), table(derived.name), calendar, now)
        if derived.grid == "day":
            late_since[derived.name] |= _missing_days(table(derived.name), calendar, now)
    latest = _slots(now)[-1]
    for name, since in late_since.items():
        late = {key: at for key, at in since.items() if at + late_after <= latest.end}
        if not late:
            judged["", name] = [latest]
            continue
        first = min(late.values())
        text = (
            f"{_count(len(late), 'partition')} of {name} late since {first:%Y-%m-%d %H:%M} UTC: {_listed(sorted(late))}"
        )
        _since(name, first, now, limit, text, judged, breaches)


def _unloaded(lakehouse: Lakehouse, raw_events: Snapshot, now: datetime) -> dict[str, datetime]:
    """Received hours with segments that are not loaded, and when the hour last got one."""
    start = max(now - LOADED_WITHIN, datetime(*lakehouse.settings.start_date.timetuple()[:3]))
    landed = {hour: at for hour, at in list_hours(lakehouse.settings.landing_zone).items() if start <= hour <= now}
    missing = {segment.received_hour for segment in missing_segments(lakehouse, raw_events, sorted(landed))}
    return {hour.strftime(HOUR_KEY): _moment(landed[hour] / 1e9) for hour in missing}


def _stale_since(parent: Snapshot, child: Snapshot, calendar: Calendar, now: datetime) -> dict[str, datetime]:
    """The child's stale partitions, and since when: the end of the partition or the time of its oldest unread file, if that is later.

    Not the commit of that file, since snapshots expire within minutes while events land. A day ends when it first ends in a time zone
    in which it has hours of the file.
    """
    unit, by = child.table.grid, child.table.time_field(parent.table)
    key = HOUR_KEY if unit == "hour" else DAY_KEY
    stale_since = {}
    for value, refs in unread_files(parent, child, calendar, _looked_at(now)).items():
        start, since = from_unit(value, unit), list[datetime]()
        for ref in refs:
            # Merged with others and removed since it was listed; the next tick finds the file that replaced it.
            with suppress(FileNotFoundError):
                written = _moment(Path(ref.local_path).stat().st_mtime)
                hour = (
                    Window.of_hour(from_unit(ref.partition[by] or 0, "hour")) if parent.table.grid == "hour" else None
                )
                end = start + HOUR if unit == "hour" else _first_end(calendar, start, hour)
                since.append(max(end, written))
        if since:
            stale_since[start.strftime(key)] = min(since)
    return stale_since


def _first_end(calendar: Calendar, start: datetime, hour: Window | None) -> datetime:
    """When a day first ends in a time zone in which it has an hour; by default, in any."""
    zones = {*calendar.zones.values()} or {IN_UTC}
    bounds = [found for own in zones if (found := bounds_of(own, Window(start, start + DAY)))]
    return min((each.end for each in bounds if hour is None or each.overlaps(hour)), default=start + DAY)


def _looked_at(now: datetime) -> Window:
    return Window(Window.of_day((now - STALE_BACK).date()).start, now)


def _missing_days(table: Snapshot, calendar: Calendar, now: datetime) -> dict[str, datetime]:
    """Days after the first one of the table that have ended somewhere but were never built, and when each first ended."""
    missing = missing_days(table, (now - DAYS_BACK).date(), calendar.last_begun(now) - DAY)
    days = [from_unit(value, "day").date() for value in sorted(missing)]
    return {day.strftime(DAY_KEY): calendar.closings(day)[0] for day in days}


def _since(
    subject: str, last: datetime, now: datetime, limit: float, text: str, judged: Judged, breaches: list[Breach]
) -> None:
    """Judge slots by how long ago something was last right, as of their end. Earlier slots are unknown."""
    slots = [slot for slot in _slots(now) if slot.end >= last]
    if not slots:
        return
    judged["", subject] = slots
    for slot in slots:
        minutes = (slot.end - last) / timedelta(minutes=1)
        if minutes >= limit:
            breaches.append(_breach(subject, slot, slot.start, minutes, limit, text))


def _slots(now: datetime) -> list[Window]:
    end = EPOCH + (now - EPOCH) // SLOT * SLOT
    return [Window(end - (index + 1) * SLOT, end - index * SLOT) for index in reversed(range(SLOTS))]


def _breach(subject: str, window: Window, since: datetime, value: float, threshold: float, text: str) -> Breach:
    return Breach("", window, since, round(value, 1), threshold, subject=subject, text=text)


def _ended(instance: "DagsterInstance", statuses: list, since: datetime) -> list["RunRecord"]:
    """Runs that ended since then, with one of these statuses."""
    from dagster import RunsFilter

    records = instance.get_run_records(RunsFilter(statuses=statuses, updated_after=since.replace(tzinfo=UTC)))
    return [record for record in records if _end(record) >= since]


def _is_final(record: "RunRecord") -> bool:
    """Whether a failed run is the last attempt. After the first attempt of a run that a sensor requested, there are more."""
    attempt = record.dagster_run.tags.get(ATTEMPT_TAG)
    return attempt != "1" if attempt else not is_retried(record.dagster_run)


def _end(record: "RunRecord") -> datetime:
    return _moment(record.end_time) if record.end_time else _naive(record.update_timestamp)


def _moment(timestamp: float) -> datetime:
    return EPOCH + timedelta(seconds=timestamp)


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _run_name(record: "RunRecord") -> str:
    run = record.dagster_run
    span = partition_span(run.tags)
    return f"run {run.run_id[:8]}{f', {span[0]}' if span else ''}"


def _subject(name: str) -> str:
    return name[:200]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _listed(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - EXAMPLES:,} more" if len(listed) > EXAMPLES else ""
    return f"{', '.join(listed[:EXAMPLES])}{more}"
