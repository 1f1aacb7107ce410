"""Starts each run from a process that has imported the libraries already, which is most of what a short run takes.

What a run does is said in its job; how many may be under way at once, in `dagster.yaml`.
"""

import multiprocessing
import signal
import socket
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import psutil
from dagster import DagsterRun
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import ConfigurableClassData, serialize_value

WORKER_TAG = ".dagster/radar_worker"
"""The process of a run, as `_Worker.tag` writes it; the UI shows no tag that begins so."""
LIBRARIES = [
    "dagster._cli.api",
    "dagster_postgres",
    "duckdb",
    "numpy",
    "pyarrow.parquet",
    "pydantic_settings",
    "pyiceberg.catalog.sql",
    "pyiceberg.io.pyarrow",
    "sqlalchemy.dialects.sqlite",
    "sqlglot.optimizer",
    "ua_parser",
]
"""Only libraries: each run imports the graph's own modules, so that it has the code that the UI has last reloaded."""
THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


class ForkingRunLauncher(DefaultRunLauncher):
    """Forks runs of this Python environment from a process that has its libraries; leaves others to their code servers.

    A run ends whatever becomes of the daemon that launched it, and the next daemon finds it by its tag.
    """

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(inst_data)
        self._forks = multiprocessing.get_context("forkserver")
        self._forks.set_forkserver_preload(LIBRARIES)

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]
    ) -> "ForkingRunLauncher":
        return cls(inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Start the process of a run, here or on its code server."""
        run, origin = context.dagster_run, context.job_code_origin
        if not origin or origin.executable_path != sys.executable or not _is_on_this_machine(run):
            super().launch_run(context)
            return
        arguments = serialize_value(ExecuteRunArgs(origin, run.run_id, self._instance.get_ref()))
        process = self._forks.Process(target=_execute, args=(arguments,), name=f"run {run.run_id}")
        process.start()
        assert process.pid
        self._instance.add_run_tags(run.run_id, {WORKER_TAG: _Worker.of(process.pid).tag()})
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
        if worker.host != socket.gethostname() or not worker.lives():
            self._instance.report_engine_event(f"There is no process {worker.pid} of the run on this machine.", run)
            return False
        psutil.Process(worker.pid).send_signal(signal.SIGINT)
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether the process of a run is there. What can't be seen from here counts as running."""
        worker = _Worker.of_run(run)
        if worker and worker.host == socket.gethostname() and not worker.lives():
            return CheckRunHealthResult(WorkerStatus.FAILED, f"The process {worker.pid} of the run is gone.")
        return CheckRunHealthResult(WorkerStatus.RUNNING)


class _Worker(NamedTuple):
    """A process of a machine; the start time, in seconds since 1970, tells it from a later one of the same number."""

    host: str
    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> "_Worker":
        return cls(socket.gethostname(), pid, psutil.Process(pid).create_time())

    @classmethod
    def of_run(cls, run: DagsterRun) -> "_Worker | None":
        host, pid, started = run.tags[WORKER_TAG].rsplit(" ", 2) if WORKER_TAG in run.tags else ("", 0, 0)
        return cls(host, int(pid), float(started)) if pid else None

    def tag(self) -> str:
        return f"{self.host} {self.pid} {self.started}"

    def lives(self) -> bool:
        try:
            return abs(psutil.Process(self.pid).create_time() - self.started) < 1
        except psutil.NoSuchProcess:
            return False


def _execute(arguments: str) -> None:
    """What `dagster api execute_run` does, in a process of its own."""
    from dagster._cli.api import execute_run_command

    execute_run_command.main([arguments], standalone_mode=False)


def _is_on_this_machine(run: DagsterRun) -> bool:
    """Whether the code server of a run is one of this machine, so that its code is here too."""
    assert run.remote_job_origin
    location = run.remote_job_origin.repository_origin.code_location_origin
    return not isinstance(location, GrpcServerCodeLocationOrigin) or location.host in THIS_MACHINE
