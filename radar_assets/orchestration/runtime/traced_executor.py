"""Dagster's executor within one process, with a span for the run and for each of its steps."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster import DagsterEvent, DagsterEventType
from dagster._core.definitions.executor_definition import IN_PROC_CONFIG
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.in_process import InProcessExecutor

from radar_assets import tracing
from radar_assets.orchestration.run_tags import partition_span

if TYPE_CHECKING:
    from dagster._core.execution.context.system import PlanOrchestrationContext
    from dagster._core.execution.plan.plan import ExecutionPlan

EXPORT_EVERY_MS = "300000"
"""Milliseconds between exports while a run is under way. At its end, all of its spans are exported."""
_ENDS = {DagsterEventType.STEP_SUCCESS, DagsterEventType.STEP_FAILURE, DagsterEventType.STEP_UP_FOR_RETRY}


class TracedExecutor(InProcessExecutor):
    """Runs steps one after the other, each in a span of its own.

    A step begins when its first event is yielded, and works while the next one is awaited, so the span of the step is the current one
    meanwhile.
    """

    def execute(
        self, plan_context: "PlanOrchestrationContext", execution_plan: "ExecutionPlan"
    ) -> Iterator[DagsterEvent]:
        """See `dagster.Executor`."""
        run = plan_context.dagster_run
        first, last = partition_span(run.tags) or ("", "")
        about = {"dagster.run_id": run.run_id, "dagster.job": run.job_name}
        about |= {"dagster.partition": first, "dagster.last_partition": last} if first else {}
        # The exporter's thread would use a little CPU every few seconds, by which a run that is stuck looks alive.
        os.environ.setdefault("OTEL_BSP_SCHEDULE_DELAY", EXPORT_EVERY_MS)
        tracing.name_trace_in_logs()
        parent = run.tags.get(tracing.RUN_TAG)
        try:
            with tracing.span(f"run {run.job_name}", parent=parent, kind="consumer", attributes=about) as of_run:
                of_step = None
                with ExitStack() as steps:
                    for event in super().execute(plan_context, execution_plan):
                        if event.event_type == DagsterEventType.STEP_START:
                            of_step = steps.enter_context(tracing.span(f"step {event.step_key}"))
                        yield event
                        if event.event_type == DagsterEventType.STEP_FAILURE:
                            tracing.fail(of_step)
                            tracing.fail(of_run)
                        if event.event_type in _ENDS:
                            steps.close()
        finally:
            tracing.flush()


@dg.executor(name="in_process", config_schema=IN_PROC_CONFIG)
def traced_executor(context: dg.InitExecutorContext) -> TracedExecutor:
    """Like Dagster's executor of the same name."""
    retries: Any = context.executor_config["retries"]
    return TracedExecutor(RetryMode.from_config(retries) or RetryMode.ENABLED)
