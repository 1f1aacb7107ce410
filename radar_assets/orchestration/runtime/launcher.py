"""Starts each run from a process that has imported the libraries already, which is most of what a short run takes.

What a run does is said in its job; how many may be under way at once, in `dagster.yaml`.
"""

import multiprocessing
import multiprocessing.process
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import psutil
from dagster import DagsterRun
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher
from dagster._core.remote_origin import ManagedGrpcPythonEnvCodeLocationOrigin
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import ConfigurableClassData, serialize_value

from radar_assets.orchestration.runtime.process_identity import ProcessIdentity

WORKER_TAG = ".dagster/radar_worker"
"""The process of a run, as `_Worker.tag` writes it; the UI shows no tag that begins so."""


class ForkingRunLauncher(DefaultRunLauncher):
    """Forks runs of this Python environment from a process that has its libraries; leaves others to their code servers.

    A run ends by itself, whatever becomes of the daemon that launched it, and the next daemon finds its process by a tag. One that
    is gone is noticed by run monitoring: in its next round if the run had started, else after `start_timeout_seconds`.
    """

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(inst_data)
        self._forks = multiprocessing.get_context("forkserver")

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]
    ) -> "ForkingRunLauncher":
        return cls(inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Start the process of a run, here or on its code server."""
        run, origin = context.dagster_run, context.job_code_origin
        if not origin or origin.executable_path != sys.executable or not _has_this_environment(run):
            super().launch_run(context)
            return
        arguments = serialize_value(ExecuteRunArgs(origin, run.run_id, self._instance.get_ref()))
        # Here, since it is for the whole process, and many that never launch a run have an instance.
        self._forks.set_forkserver_preload(["radar_assets.orchestration.runtime.preload"])
        waits, goes = self._forks.Pipe(duplex=False)
        with waits, goes:
            process = self._forks.Process(target=_execute, args=(arguments, waits), name=f"run {run.run_id}")
            process.start()
            # At its exit the daemon would wait for the runs that it has started.
            multiprocessing.process._children.discard(process)  # pyright: ignore[reportAttributeAccessIssue, reportPrivateUsage]
            assert process.pid
            # The run writes tags too, and one write may undo the other. If this one fails, the process ends without having begun.
            self._instance.add_run_tags(
                run.run_id, {WORKER_TAG: _Worker(run.run_id, ProcessIdentity.of(process.pid)).tag()}
            )
            goes.send(True)
        self._run_ids.add(run.run_id)

    def terminate(self, run_id: str) -> bool:
        """Interrupt a run, which then ends as canceled; whether there was a process to interrupt."""
        run = self._instance.get_run_by_id(run_id)
        worker = _Worker.of_run(run) if run else None
        if not run or not worker:
            return super().terminate(run_id)
        if run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        process = worker.identity.process() if worker.identity.is_here() else None
        if process:
            with suppress(psutil.NoSuchProcess):  # it ends by itself just now
                process.send_signal(signal.SIGINT)
                return True
        self._instance.report_engine_event(
            f"There is no process {worker.identity.pid} of the run on this machine.", run
        )
        return False

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether the process of a run is there. What can't be seen from here counts as running."""
        worker = _Worker.of_run(run)
        if worker and worker.identity.is_here() and not worker.identity.process():
            return CheckRunHealthResult(WorkerStatus.FAILED, f"The process {worker.identity.pid} of the run is gone.")
        return CheckRunHealthResult(WorkerStatus.RUNNING)


class _Worker(NamedTuple):
    """The process of a run."""

    run_id: str
    identity: ProcessIdentity

    @classmethod
    def of_run(cls, run: DagsterRun) -> "_Worker | None":
        """The process that a run says it has. A retry has the tags of the run that it tries again, until it has its own."""
        run_id, host, pid, started = run.tags.get(WORKER_TAG, "- - 0 0").split(" ")
        return cls(run_id, ProcessIdentity(host, int(pid), float(started))) if run_id == run.run_id else None

    def tag(self) -> str:
        return " ".join(map(str, (self.run_id, *self.identity)))


def _execute(arguments: str, waits: Connection) -> None:
    """What `dagster api execute_run` does, in a process of its own, once it is told to."""
    from dagster._cli.api import execute_run_command

    with waits:
        waits.recv()
    execute_run_command.main([arguments], standalone_mode=False)


def _has_this_environment(run: DagsterRun) -> bool:
    """Whether the code server of a run is one that this process starts, or that `dagster dev` has started for all."""
    assert run.remote_job_origin
    location = run.remote_job_origin.repository_origin.code_location_origin
    return isinstance(location, ManagedGrpcPythonEnvCodeLocationOrigin) or "DAGSTER_IS_DEV_CLI" in os.environ
