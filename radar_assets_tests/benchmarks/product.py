"""Radar's side of the pipeline benchmark, in its own process: a day through Dagster, in process, on the instance of the home."""

import sys
import time

from radar_assets_tests.benchmarks.measurement import report


def main(first_hour: str, last_hour: str, day: str) -> None:
    """Run `hourly_job` over a range of hours and `daily_job` for a day, with all their checks."""
    began = time.monotonic()
    # Lazily loaded modules are loaded before, as in the bare script; `the same with process start` includes them.
    import duckdb  # noqa: F401
    import pyarrow.dataset  # noqa: F401
    import pyiceberg.catalog.sql
    import pyiceberg.io.pyarrow  # noqa: F401
    import sqlglot  # noqa: F401
    from dagster import DagsterInstance

    from radar_assets.definitions import build_defs
    from radar_assets.settings import load_settings

    definitions = build_defs(load_settings())
    span = {"dagster/asset_partition_range_start": first_hour, "dagster/asset_partition_range_end": last_hour}
    with DagsterInstance.get() as instance:
        imported = time.monotonic()
        results = [
            definitions.resolve_job_def("hourly_job").execute_in_process(instance=instance, tags=span),
            definitions.resolve_job_def("daily_job").execute_in_process(instance=instance, partition_key=day),
        ]
        ended = time.monotonic()
        steps = {
            step.step_key: (step.end_time or 0) - (step.start_time or 0)
            for result in results
            for step in instance.get_run_step_stats(result.run_id)
        }
    report({"imports_s": imported - began, "runs_s": ended - imported, "steps_s": steps})


if __name__ == "__main__":
    main(*sys.argv[1:])
