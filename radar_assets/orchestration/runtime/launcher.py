"""Starts each run by forking a process that has already imported the libraries, because imports take most of a short run's time.

How many runs may be in progress at once is set in `dagster.yaml`.
"""

import multiprocessing
import multiprocessing.process
import os
import signal
import sys
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from dagster import DagsterRun
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher
from dagster._core.remote_origin import ManagedGrpcPythonEnvCodeLocationOrigin
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import ConfigurableClassData, serialize_value

from radar_assets.orchestration.runtime import stuck
from radar_assets.orchestration.runtime.process_identity import ProcessIdentity
from radar_assets.orchestration.settings import RunSettings

WORKER_TAG = ".dagster/radar_worker"
"""Tag for the process of a run, in the format of `_Worker.tag`. The UI hides tags with this prefix."""


class ForkingRunLauncher(DefaultRunLauncher):
    """Forks runs of this Python environment from a process with its libraries. Other runs start on their code servers.

    A run continues when the daemon that launched it ends, and the next daemon finds its process by a tag. Run monitoring detects a
    process that is gone and ends one that is stuck: in its next iterations if the run had started, else after
    `start_timeout_seconds`.
    """

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(inst_data)
        self._forks = multiprocessing.get_context("forkserver")
        self._silences = stuck.Silences()
        self._endings: dict[ProcessIdentity, stuck.Ending] = {}
        """The processes of stuck runs that are being ended."""

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
            # It may be stuck. After the timeout, run monitoring reports the run as canceled.
            stuck.Ending(process, signal.SIGINT, self._instance.run_monitoring_cancel_timeout_seconds)
            return True
        self._instance.report_engine_event(
            f"The process {worker.identity.pid} of the run is not running on this machine.", run
        )
        return False

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether the process of a run is running. One that is stuck is ended, while further calls find it running.

        A process on another machine can't be seen or ended from here, so its run counts as running while it logs. Runs that code
        servers have started, which have no tag of a worker, count as running unless they have a limit of their own.
        """
        worker, limit_tag = _Worker.of_run(run), run.tags.get(stuck.LIMIT_TAG)
        limit_s = stuck.limit_s(limit_tag, RunSettings.load().stuck_after_min * 60)
        if worker and worker.identity.is_here():
            problem = self._problem_here(run, worker.identity, limit_s)
        else:
            problem = self._problem_elsewhere(run, worker, limit_s) if worker or limit_tag else None
        return CheckRunHealthResult(WorkerStatus.FAILED if problem else WorkerStatus.RUNNING, problem)

    def _problem_here(self, run: DagsterRun, identity: ProcessIdentity, limit_s: float) -> str | None:
        process, ending = identity.process(), self._endings.get(identity)
        stuck_for = f"The run was stuck: it used no CPU for more than {_duration(limit_s)}. "
        if ending and not ending.is_alive():
            del self._endings[identity]
            left = ", ".join(str(each.pid) for each in ending.left)
            return f"{stuck_for}Its processes were ended{f', except for {left}' if left else ''}."
        if ending:
            return None
        if not process:
            return f"The process {identity.pid} of the run is gone."
        silent_s = self._silences.observe(run.run_id, stuck.signs_of_life(process))
        if silent_s > limit_s:
            text = f"The run is stuck: its process {identity.pid} has used no CPU for {_duration(silent_s)}. Ending it."
            # First, because a process that reacts to SIGTERM reports its failure itself, without this reason.
            self._instance.report_engine_event(text, run)
            self._endings[identity] = stuck.Ending(process)
        return None

    def _problem_elsewhere(self, run: DagsterRun, worker: "_Worker | None", limit_s: float) -> str | None:
        logged = self._instance.get_records_for_run(run.run_id, limit=1, ascending=False).records
        silent_s = self._silences.observe(run.run_id, tuple(record.storage_id for record in logged))
        if silent_s <= limit_s:
            return None
        where = f"Process {worker.identity.pid} on {worker.identity.host}" if worker else "Its process"
        return f"The run has logged nothing for {_duration(silent_s)}. {where} can't be seen from here and was left."

    def get_run_worker_debug_info(self, run: DagsterRun, include_container_logs: bool | None = True) -> str | None:
        """End what is left of a run. Run monitoring asks for it when it gives up a run that did not start, or end, in time.

        Returns:
            What was done, for the log of the run.
        """
        del include_container_logs
        worker = _Worker.of_run(run)
        process = worker.identity.process() if worker and worker.identity.is_here() else None
        if not process:
            return None
        stuck.Ending(process)
        return f"Ending its process {process.pid}."


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


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"


def _has_this_environment(run: DagsterRun) -> bool:
    """Whether the code server of a run was started by this process, or by `radar dev` or `dagster dev` for all."""
    assert run.remote_job_origin
    location = run.remote_job_origin.repository_origin.code_location_origin
    return isinstance(location, ManagedGrpcPythonEnvCodeLocationOrigin) or "DAGSTER_IS_DEV_CLI" in os.environ
