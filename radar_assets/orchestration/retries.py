"""Retries runs that failed, after a pause, as often as the kind of their job allows.

Runs that the sensors over stale partitions request are left to them: they request what is stale until it is built. Dagster's own
retries are disabled, because they follow within seconds and leave out the runs of `dagster job backfill`, which Dagster considers
completed once they are queued.
"""

from collections.abc import Mapping, Sequence, Set
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import dagster as dg

from radar_assets.orchestration.attempts import ATTEMPT_TAG, pause_after
from radar_assets.orchestration.job_kinds import AGGREGATION, KIND_TAG, KINDS, JobKind
from radar_assets.orchestration.run_tags import FIRST_PARTITION, LAST_PARTITION, PARTITION
from radar_assets.windows import utc_now

if TYPE_CHECKING:
    from dagster import DagsterRun
    from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

RETRY_TAG, RETRIED_RUN_TAG = "radar/retry", "radar/retried_run"
"""Tags of retries: how many times in a row, from 1, and the id of the failed run."""
NOT_RETRIED_TAG = "radar/not_retried"
"""Tag of failed runs that can't be retried: the reason."""
FAILED_WITHIN = timedelta(hours=24)
"""How long after it failed a run is retried, in case Radar was stopped meanwhile."""
RETRIES_A_TICK = 20
MAX_READ = 1000
TICK_S = 15
KEPT_TAGS = {
    *("dagster/backfill", "dagster/partition_set", "dagster/priority", "dagster/max_runtime"),
    *(PARTITION, FIRST_PARTITION, LAST_PARTITION),
}
"""Dagster's tags that a retry takes over. The others describe the failed run itself."""


def kind_of(run: "DagsterRun") -> JobKind:
    """The kind of a run's job. Runs that the UI starts have no job; most of them build tables."""
    return KINDS.get(run.tags.get(KIND_TAG, ""), AGGREGATION)


def is_retried(run: "DagsterRun") -> bool:
    """Whether a failed run is retried. Runs in the foreground of a command are not: whoever started it sees the failure."""
    is_left_alone = ATTEMPT_TAG in run.tags or NOT_RETRIED_TAG in run.tags
    return run.remote_job_origin is not None and not is_left_alone and _retry(run) < kind_of(run).retries


def retried_at(record: "dg.RunRecord") -> datetime:
    """When a failed run is retried, in UTC."""
    return _ended_at(record) + pause_after(_retry(record.dagster_run) + 1, kind_of(record.dagster_run).delay)


def _ended_at(record: "dg.RunRecord") -> datetime:
    ended = datetime.fromtimestamp(record.end_time, UTC) if record.end_time else record.update_timestamp.astimezone(UTC)
    return ended.replace(tzinfo=None)


def _retry(run: "DagsterRun") -> int:
    return int(run.tags.get(RETRY_TAG, "0"))


def without_retry(records: Sequence["dg.RunRecord"], now: datetime) -> list["dg.RunRecord"]:
    """The failed runs that wait for a retry.

    Args:
        records: with all retries of those runs.
        now: naive, UTC.
    """
    retried = {record.dagster_run.tags.get(RETRIED_RUN_TAG) for record in records}
    return [
        record
        for record in records
        if record.dagster_run.status == dg.DagsterRunStatus.FAILURE
        and record.dagster_run.run_id not in retried
        and is_retried(record.dagster_run)
        and now - _ended_at(record) <= FAILED_WITHIN
    ]


def waiting_for_retry(instance: dg.DagsterInstance) -> list["dg.RunRecord"]:
    """Failed runs whose retry has not been requested yet, oldest first."""
    since = utc_now().replace(tzinfo=UTC) - FAILED_WITHIN
    failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since)
    records = [record for record in instance.get_run_records(failed, limit=MAX_READ) if is_retried(record.dagster_run)]
    if not records:
        return []
    retries = dg.RunsFilter(tags={RETRIED_RUN_TAG: [record.dagster_run.run_id for record in records]})
    # A retry that has failed is in both.
    known = {record.dagster_run.run_id: record for record in [*reversed(records), *instance.get_run_records(retries)]}
    return without_retry(list(known.values()), utc_now())


def build_retry_sensor(jobs: Sequence[Any]) -> dg.SensorDefinition:
    """The sensor that requests retries, enabled by default.

    Args:
        jobs: all jobs whose runs are retried.
    """

    @dg.sensor(
        jobs=jobs,
        minimum_interval_seconds=TICK_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Retries failed runs after a pause, also those of backfills.",
    )
    def retry_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        now, repository = utc_now(), context.repository_def
        assert repository
        known = repository.asset_graph
        graphs = {job.name: repository.get_job(job.name).asset_layer.asset_graph for job in jobs}
        is_canceled = cache(lambda backfill: _is_canceled(context.instance, backfill))
        found = []
        for record in waiting_for_retry(context.instance):
            run = record.dagster_run
            # Dagster fails the whole tick if a request names an asset or check that is gone.
            assets = run.asset_selection and run.asset_selection & known.executable_asset_keys
            checks = run.asset_check_selection and run.asset_check_selection & known.asset_check_keys
            job = _job_for(run, assets, checks, graphs)
            if is_canceled(run.tags.get("dagster/backfill")):
                context.instance.add_run_tags(run.run_id, {NOT_RETRIED_TAG: "the backfill was canceled"})
            elif job is None:
                context.instance.add_run_tags(run.run_id, {NOT_RETRIED_TAG: "no job has all of its assets and checks"})
            elif retried_at(record) <= now:
                found.append(_request(run, job, assets, checks))
        return dg.SensorResult(run_requests=found[:RETRIES_A_TICK])

    return retry_sensor


def _is_canceled(instance: dg.DagsterInstance, backfill_id: str | None) -> bool:
    from dagster._core.execution.backfill import BulkActionStatus

    backfill = instance.get_backfill(backfill_id) if backfill_id else None
    return backfill is not None and backfill.status in (BulkActionStatus.CANCELING, BulkActionStatus.CANCELED)


def _job_for(
    run: "DagsterRun",
    assets: Set[dg.AssetKey] | None,
    checks: Set[dg.AssetCheckKey] | None,
    graphs: Mapping[str, "AssetGraph"],
) -> str | None:
    """The job to retry a run with: its own, or for a selection in the UI, the first job that has all of it.

    Args:
        assets, checks: what is left of the selection of the run.
        graphs: assets and checks by job.
    """
    if (run.asset_selection or run.asset_check_selection) and not (assets or checks):
        return None
    if run.job_name in graphs:
        return run.job_name
    if assets:
        # Dagster adds the checks of the selection, whatever the job.
        return next((name for name, graph in graphs.items() if assets <= graph.executable_asset_keys), None)
    return next((name for name, graph in graphs.items() if checks and checks <= graph.asset_check_keys), None)


def _request(
    run: "DagsterRun", job: str, assets: Set[dg.AssetKey] | None, checks: Set[dg.AssetCheckKey] | None
) -> dg.RunRequest:
    own = {
        tag: value
        for tag, value in run.tags.items()
        if tag in KEPT_TAGS or not tag.startswith(("dagster/", ".dagster"))
    }
    return dg.RunRequest(
        run_key=f"retry:{run.run_id}",
        job_name=job,
        run_config=run.run_config,
        # The partitions are in the tags.
        tags={**own, RETRY_TAG: str(_retry(run) + 1), RETRIED_RUN_TAG: run.run_id},
        asset_selection=sorted(assets) if assets else None,
        asset_check_keys=None if checks is None else sorted(checks),
    )
