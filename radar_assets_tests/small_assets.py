"""Definitions with one asset and a sensor that requests it twice at once, for tests of an instance."""

import time

import dagster as dg


@dg.asset(pool="cleanup")
def small(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    time.sleep(0.5)
    context.log.info("a line for the event log")
    return dg.MaterializeResult(metadata={"dagster/row_count": 3})


@dg.sensor(target=[small], minimum_interval_seconds=1, default_status=dg.DefaultSensorStatus.RUNNING)
def twice_sensor() -> list[dg.RunRequest]:
    return [dg.RunRequest(run_key="first"), dg.RunRequest(run_key="second")]


defs = dg.Definitions(assets=[small], sensors=[twice_sensor], executor=dg.in_process_executor)
