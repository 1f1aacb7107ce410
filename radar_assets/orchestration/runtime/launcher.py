"""Starts each run by forking a process that has already imported the libraries, because imports take most of a short run's time.

How many runs may be in progress at once is set in `dagster.yaml`.
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
"""Tag for the process of a run, in the format of `_Worker.tag`. The UI hides tags with this prefix."""


class ForkingRunLauncher(DefaultRunLauncher):
    """Forks runs of this Python environment from a process with its libraries. Other runs start on their code servers.

    A run continues when the daemon that launched it ends, and the next daemon finds its process by a tag. Run monitoring detects a
    process that is gone: in its next iteration if the run had started, else after `start_timeout_seconds`.
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
        """Start the process of a run, by a fork or on its code server."""
        run, origin = context.dagster_run, context.job_code_origin
        if not origin or origin.executable_path != sys.executable or not _has_this_environment(run):
            super().launch_run(context)
            return
        arguments = serialize_value(ExecuteRunArgs(origin, run.run_id, self._instance.get_ref()))
        # Set here and not in __init__, because it affects the whole process, and most processes with an instance never launch a run.
        self._forks.set_forkserver_preload(["radar_assets.orchestration.runtime.preload"])
        waits, goes = self._forks.Pipe(duplex=False)
        with waits, goes:
            process = self._forks.Process(target=_execute, args=(arguments, waits), name=f"run {run.run_id}")
            process.start()
            # Otherwise the daemon would wait for its runs at exit.
            multiprocessing.process._children.discard(process)  # pyright: ignore[reportAttributeAccessIssue, reportPrivateUsage]
            assert process.pid
            # The run waits until its tag is written: it writes tags too, and concurrent writes can overwrite each other.
            # If this write fails, the process ends without starting the run.
            self._instance.add_run_tags(
                run.run_id, {WORKER_TAG: _Worker(run.run_id, ProcessIdentity.of(process.pid)).tag()}
            )
            goes.send(True)
        self._run_ids.add(run.run_id)

    def terminate(self, run_id: str) -> bool:
        """Interrupt a run, which then ends as canceled. Returns whether a process was interrupted."""
        run = self._instance.get_run_by_id(run_id)
        worker = _Worker.of_run(run) if run else None
        if not run or not worker:
            return super().terminate(run_id)
        if run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        process = worker.identity.process() if worker.identity.is_here() else None
        if process:
            with suppress(psutil.NoSuchProcess):  # it has just ended
                process.send_signal(signal.SIGINT)
                return True
        self._instance.report_engine_event(
            f"The process {worker.identity.pid} of the run is not running on this machine.", run
        )
        return False

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether the process of a run is running. A process on another machine can't be checked and counts as running."""
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
        """The process in the tag of a run. A retry has the tag of the run before, with that run's id, until it gets its own."""
        run_id, host, pid, started = run.tags.get(WORKER_TAG, "- - 0 0").split(" ")
        return cls(run_id, ProcessIdentity(host, int(pid), float(started))) if run_id == run.run_id else None

    def tag(self) -> str:
        return " ".join(map(str, (self.run_id, *self.identity)))


def worker_tag(run_id: str) -> dict[str, str]:
    """The tag of a run in this process, by which the daemon finds out whether it still runs."""
    return {WORKER_TAG: _Worker(run_id, ProcessIdentity.of()).tag()}


def _execute(arguments: str, waits: Connection) -> None:
    """Run `dagster api execute_run` in this process once the launcher sends a message."""
    from dagster._cli.api import execute_run_command

    with waits:
        waits.recv()
    execute_run_command.main([arguments], standalone_mode=False)


def _has_this_environment(run: DagsterRun) -> bool:
    """Whether the code server of a run was started by this process, or by `radar dev` or `dagster dev` for all."""
    assert run.remote_job_origin
    location = run.remote_job_origin.repository_origin.code_location_origin
    return isinstance(location, ManagedGrpcPythonEnvCodeLocationOrigin) or "DAGSTER_IS_DEV_CLI" in os.environ
