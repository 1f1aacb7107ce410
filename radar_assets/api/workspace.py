"""Jobs, schedules and sensors of the loaded definitions, and launching a job. Everything here may block.

What runs did is in `run_history.py`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, PartitionKeyRange
from dagster._core.definitions.partitions.definition import TimeWindowPartitionsDefinition
from dagster._core.definitions.selector import JobSubsetSelector
from dagster._core.errors import DagsterRunAlreadyExists
from dagster._core.remote_representation.code_location import CodeLocation
from dagster._core.remote_representation.external import RemoteJob, RemoteRepository, RemoteSchedule, RemoteSensor
from dagster._core.workspace.context import (
    BaseWorkspaceRequestContext,
    WorkspaceProcessContext,
    WorkspaceRequestContext,
)
from dagster._utils.tags import normalize_tags

from radar_assets.access.roles import Role
from radar_assets.api.identity import principal_of_source
from radar_assets.orchestration.run_tags import PARTITION, span_tags

IMPLICIT_JOB = "__ASSET_JOB"
"""Dagster's job for materializations of chosen assets."""
MAX_PARTITIONS = 168
"""Maximum partitions of a run: a week of hours, as of the runs that sensors request."""


class LaunchError(Exception):
    """A job can't be launched as asked.

    Attributes:
        field: what is wrong: partition, partition_end, or nothing in particular.
    """

    def __init__(self, reason: str, field: str = "") -> None:
        super().__init__(reason)
        self.field = field


class RadarWorkspace(WorkspaceProcessContext):
    """The workspace of the Dagster UI, which is read-only in requests of viewers: the UI then shows its buttons as disabled."""

    def create_request_context(self, source: object | None = None) -> WorkspaceRequestContext:
        """The workspace for a request."""
        principal = principal_of_source(source)
        return WorkspaceRequestContext(
            instance=self.instance,
            current_workspace=self.get_current_workspace(),
            process_context=self,
            version=self.version,
            source=source,
            read_only=source is not None and not (principal and principal.may(Role.OPERATOR)),
        )


@dataclass(frozen=True)
class Job:
    """A job of a code location.

    Attributes:
        partitions: of a partitioned job.
    """

    location: CodeLocation
    repository: RemoteRepository
    remote: RemoteJob
    partitions: TimeWindowPartitionsDefinition | None

    @property
    def name(self) -> str:
        return self.remote.name

    @property
    def description(self) -> str:
        """What it does."""
        return self.remote.description or ""

    @property
    def can_run(self) -> bool:
        """Whether it can be started by name."""
        return self.name != IMPLICIT_JOB

    @property
    def path(self) -> str:
        """Its page in the Dagster UI."""
        return f"{_location_path(self.location, self.repository)}/jobs/{quote(self.name)}"

    def last_partition(self) -> str:
        """The newest partition; empty without one."""
        return (self.partitions.get_last_partition_key() or "") if self.partitions else ""


@dataclass(frozen=True)
class Automation:
    """A schedule or a sensor."""

    location: CodeLocation
    repository: RemoteRepository
    remote: RemoteSchedule | RemoteSensor

    @property
    def path(self) -> str:
        """Its page in the Dagster UI."""
        kind = "schedules" if isinstance(self.remote, RemoteSchedule) else "sensors"
        return f"{_location_path(self.location, self.repository)}/{kind}/{quote(self.remote.name)}"


def list_jobs(workspace: BaseWorkspaceRequestContext) -> list[Job]:
    """All jobs by name, that of chosen assets last."""
    jobs = []
    for location, repository in _repositories(workspace):
        sets = {each.job_name: each for each in repository.get_partition_sets() if each.has_partitions_definition()}
        for remote in repository.get_all_jobs():
            partition_set = sets.get(remote.name)
            found = partition_set.get_partitions_definition() if partition_set else None
            partitions = found if isinstance(found, TimeWindowPartitionsDefinition) else None
            jobs.append(Job(location, repository, remote, partitions))
    return sorted(jobs, key=lambda job: (not job.can_run, job.name))


def find_job(workspace: BaseWorkspaceRequestContext, name: str) -> Job | None:
    """The job of a name, if it can be started by name."""
    return next((job for job in list_jobs(workspace) if job.name == name and job.can_run), None)


def list_automations(workspace: BaseWorkspaceRequestContext) -> list[Automation]:
    """All schedules and then all sensors, by name."""
    found: list[Automation] = []
    for location, repository in _repositories(workspace):
        found += [Automation(location, repository, each) for each in repository.get_schedules()]
        found += [Automation(location, repository, each) for each in repository.get_sensors()]
    return sorted(found, key=lambda each: (isinstance(each.remote, RemoteSensor), each.remote.name))


def unloaded(workspace: BaseWorkspaceRequestContext) -> list[str]:
    """Why code locations are missing."""
    return [
        f"{entry.origin.location_name}: {' '.join(entry.load_error.message.split())}"
        for entry in workspace.get_code_location_entries().values()
        if entry.load_error
    ]


def partition_tags(job: Job, partition: str | None, end: str | None = None) -> Mapping[str, str]:
    """The tags of a run over a partition, or over a range with both ends.

    Raises:
        LaunchError: the job has no such partition, or needs one.
    """
    if job.partitions is None:
        if partition or end:
            raise LaunchError(f"{job.name} has no partitions.", "partition")
        return {}
    if not partition:
        raise LaunchError(f"{job.name} needs a partition, e.g. {job.last_partition()}.", "partition")
    for field, key in (("partition", partition), ("partition_end", end)):
        if key and not _has(job.partitions, key):
            raise LaunchError(f"{job.name} has no partition {key[:40]!r}; the newest is {job.last_partition()}.", field)
    if not end or end == partition:
        return {PARTITION: partition}
    count = len(job.partitions.get_partition_keys_in_range(PartitionKeyRange(partition, end))) if end > partition else 0
    if not count:
        raise LaunchError("partition_end is before partition.", "partition_end")
    if count > MAX_PARTITIONS:
        raise LaunchError(
            f"The range has {count:,} partitions; a run has at most {MAX_PARTITIONS}. Start a backfill in the Dagster UI.",
            "partition_end",
        )
    return span_tags(partition, end)


def launch(
    workspace: WorkspaceRequestContext,
    job: Job,
    run_id: str,
    tags: Mapping[str, str],
    config: Mapping[str, object] | None = None,
) -> DagsterRun:
    """Queue a run of a job. Launching a run that exists again does nothing, or continues where a process was killed."""
    instance = workspace.instance
    run = instance.get_run_by_id(run_id)
    if run is None:
        try:
            run = _create(instance, job, run_id, tags, config or {})
        except DagsterRunAlreadyExists:  # by another process at the same time
            run = instance.get_run_by_id(run_id)
            assert run
    return instance.submit_run(run_id, workspace) if run.status == DagsterRunStatus.NOT_STARTED else run


def _create(
    instance: DagsterInstance, job: Job, run_id: str, tags: Mapping[str, str], config: Mapping[str, object]
) -> DagsterRun:
    remote = job.location.get_job(
        JobSubsetSelector(
            location_name=job.location.name, repository_name=job.repository.name, job_name=job.name, op_selection=None
        )
    )
    plan = job.location.get_execution_plan(
        remote, config, step_keys_to_execute=None, known_state=None, instance=instance
    ).execution_plan_snapshot
    return instance.create_run(
        job_name=job.name,
        run_id=run_id,
        run_config=config,
        status=None,
        tags=normalize_tags({**remote.tags, **tags}),
        root_run_id=None,
        parent_run_id=None,
        step_keys_to_execute=plan.step_keys_to_execute,
        execution_plan_snapshot=plan,
        job_snapshot=remote.job_snapshot,
        parent_job_snapshot=remote.parent_job_snapshot,
        asset_selection=None,
        asset_check_selection=None,
        resolved_op_selection=remote.resolved_op_selection,
        op_selection=None,
        remote_job_origin=remote.get_remote_origin(),
        job_code_origin=remote.get_python_origin(),
        asset_graph=job.repository.asset_graph,
    )


def _repositories(workspace: BaseWorkspaceRequestContext) -> Iterator[tuple[CodeLocation, RemoteRepository]]:
    for location in workspace.code_locations:
        for repository in location.get_repositories().values():
            yield location, repository


def _location_path(location: CodeLocation, repository: RemoteRepository) -> str:
    # The UI leaves out the name that repositories of plain definitions have.
    address = location.name if repository.name == "__repository__" else f"{repository.name}@{location.name}"
    return f"/locations/{quote(address, safe='@')}"


def _has(partitions: TimeWindowPartitionsDefinition, key: str) -> bool:
    try:
        return partitions.has_partition_key(key)
    except ValueError:
        return False
