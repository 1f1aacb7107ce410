"""Definitions with a partitioned job, a job that fails, and a schedule, for tests of jobs and triggers."""

from datetime import datetime

import dagster as dg

DAYS = dg.DailyPartitionsDefinition(datetime(2026, 1, 1), end_date=datetime(2026, 11, 1))


@dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
def dated(context: dg.AssetExecutionContext) -> None:
    context.log.info(f"{len(context.partition_keys)} partitions")


@dg.asset
def broken() -> None:
    """Fails with an error of two lines, the first of which has a secret."""
    raise RuntimeError("can't read https://user:hunter2@example.com/?token=hunter2\nsecond line")


dated_job = dg.define_asset_job("dated_job", [dated], description="Builds days.")
broken_job = dg.define_asset_job("broken_job", [broken], description="Fails <always>.")
nightly = dg.ScheduleDefinition(
    name="nightly",
    job=broken_job,
    cron_schedule="0 3 * * *",
    description="Fails at night.",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)


defs = dg.Definitions(
    assets=[dated, broken], jobs=[dated_job, broken_job], schedules=[nightly], executor=dg.in_process_executor
)
