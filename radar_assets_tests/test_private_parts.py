"""Private parts of libraries that Radar relies on: an upgrade that moves one fails here, with the module that needs it.

Each of these libraries has an upper bound in pyproject.toml, so that an installed wheel never meets a version that was not tested.
A scan of the package finds private parts that are missing here.
"""

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import radar_assets

PACKAGE = Path(radar_assets.__file__).parent


class Part(NamedTuple):
    """A private part.

    Attributes:
        used_in: the module of Radar that relies on it.
        path: module and attribute, separated by a colon, or a module.
        parameters: those of a method that is called or overridden, without `self`. `None` for anything else.
    """

    used_in: str
    path: str
    parameters: tuple[str, ...] | None = None

    @property
    def library(self) -> str:
        """Name of the distribution."""
        root = re.split("[.:]", self.path)[0]
        return "python" if root in sys.stdlib_module_names else root.replace("_", "-")


HTTP = "messaging/transport/http.py"
CHAT = "messaging/chat/through_apprise.py"
PROTOCOL = "uvicorn.protocols.http.httptools_impl:HttpToolsProtocol"
PRODUCER = "pyiceberg.table.update.snapshot:_SnapshotProducer"
EVENT_LOG = "dagster._core.storage.event_log:SqliteEventLogStorage"
LAUNCHER = "dagster._core.launcher.default_run_launcher:DefaultRunLauncher"
METHODS = {
    "collector/protocol.py": {
        f"{PROTOCOL}.on_message_begin": (),
        f"{PROTOCOL}.on_header": ("name", "value"),
        f"{PROTOCOL}.on_headers_complete": (),
        f"{PROTOCOL}.send_400_response": ("msg",),
    },
    HTTP: {
        "urllib3.connection:HTTPConnection._new_conn": (),
        "urllib3.connection:HTTPSConnection._new_conn": (),
        "requests:Session.get_redirect_target": ("resp",),
    },
    CHAT: {"apprise:NotifyBase.throttle": ("last_io", "wait")},
    "lakehouse/durable_catalog.py": {
        "pyiceberg.catalog.sql:SqlCatalog._convert_orm_to_iceberg": ("orm_table",),
        "pyiceberg.catalog.sql:SqlCatalog._update_and_stage_table": (
            "current_table",
            "table_identifier",
            "requirements",
            "updates",
        ),
    },
    "lakehouse/replacement.py": {
        f"{PRODUCER}._existing_manifests": (),
        f"{PRODUCER}._deleted_entries": (),
        f"{PRODUCER}._build_delete_files_partition_predicate": (),
        f"{PRODUCER}.new_manifest_writer": ("spec",),
    },
    "orchestration/checks.py": {
        "dagster:AssetCheckResult._get_unpartitioned_target_materialization_data": ("step_context", "asset_key"),
    },
    "orchestration/runtime/event_log.py": {
        f"{EVENT_LOG}._connect": ("shard",),
        f"{EVENT_LOG}._initdb": ("engine", "for_index_shard"),
        f"{EVENT_LOG}.has_table": ("table_name",),
        f"{EVENT_LOG}.run_connection": ("run_id",),
        f"{EVENT_LOG}.index_connection": (),
        f"{EVENT_LOG}.store_event_batch": ("events",),
    },
    "orchestration/runtime/launcher.py": {
        f"{LAUNCHER}.launch_run": ("context",),
        f"{LAUNCHER}.check_run_worker_health": ("run",),
        f"{LAUNCHER}.get_run_worker_debug_info": ("run", "include_container_logs"),
    },
    "cli/apply.py": {"dagster._core.storage.runs:SqlRunStorage.get_run_storage_id": ()},
}
"""Methods that are called or overridden, with their parameters, by module of Radar."""
NAMES = {
    "api/jobs_page.py": [
        "dagster._core.remote_representation.external:RemoteSchedule",
        "dagster._core.scheduler.instigation:TickData",
        "dagster._core.scheduler.instigation:TickStatus",
        "dagster._core.workspace.context:BaseWorkspaceRequestContext",
        "dagster._utils.schedules:schedule_execution_time_iterator",
    ],
    "api/reload.py": ["dagster._core.workspace.context:WorkspaceProcessContext"],
    "api/server.py": [
        "dagster._core.storage.runs:SqlRunStorage",
        "dagster._core.workspace.load_target:ModuleTarget",
        "dagster._core.workspace.load_target:WorkspaceFileTarget",
        "dagster._core.workspace.load_target:WorkspaceLoadTarget",
        "dagster_webserver.app:create_app_from_workspace_process_context",
        "dagster_webserver.cli:DEFAULT_DB_STATEMENT_TIMEOUT",
        "dagster_webserver.cli:DEFAULT_POOL_MAX_OVERFLOW",
        "dagster_webserver.cli:DEFAULT_POOL_RECYCLE",
        "dagster_webserver.version:__version__",
    ],
    "api/workspace.py": [
        "dagster._core.definitions.partitions.definition:TimeWindowPartitionsDefinition",
        "dagster._core.definitions.selector:JobSubsetSelector",
        "dagster._core.errors:DagsterRunAlreadyExists",
        "dagster._core.remote_representation.code_location:CodeLocation",
        "dagster._core.remote_representation.external:RemoteJob",
        "dagster._core.remote_representation.external:RemoteRepository",
        "dagster._core.remote_representation.external:RemoteSchedule",
        "dagster._core.remote_representation.external:RemoteSensor",
        "dagster._core.workspace.context:BaseWorkspaceRequestContext",
        "dagster._core.workspace.context:WorkspaceProcessContext",
        "dagster._core.workspace.context:WorkspaceRequestContext",
        "dagster._utils.tags:normalize_tags",
    ],
    "cli/apply.py": ["dagster._core.storage.runs:SqlRunStorage"],
    "cli/services.py": [
        "dagster._cli:main",
        "dagster._core.errors:DagsterUserCodeUnreachableError",
        "dagster._daemon.cli:main",
        "dagster._grpc.client:DagsterGrpcClient",
    ],
    HTTP: [
        "urllib3.connection:HTTPConnection._dns_host",
        "urllib3:HTTPConnectionPool.ConnectionCls",
        "urllib3:PoolManager.pool_classes_by_scheme",
        "requests:Response._content",
        "requests:Response._content_consumed",
    ],
    CHAT: ["apprise.plugins.telegram:requests", "apprise.plugins.slack:requests"],
    "lakehouse/catalog.py": ["pyiceberg.catalog.sql:IcebergTables.metadata_location"],
    "lakehouse/durable_catalog.py": ["pyiceberg.catalog.sql:SqlCatalog._write_metadata"],
    "lakehouse/replacement.py": [
        PRODUCER,
        f"{PRODUCER}._io",
        f"{PRODUCER}._snapshot_id",
        f"{PRODUCER}._written_manifests",
        f"{PRODUCER}._written_manifest_lists",
        "pyiceberg.table:Transaction._table",
        "pyiceberg.table:Transaction._updates",
        "pyiceberg.table:Transaction.table_metadata",
    ],
    "orchestration/checks.py": [
        "dagster._core.definitions.asset_checks.asset_check_evaluation:AssetCheckEvaluationTargetMaterializationData",
        "dagster._core.execution.context.system:StepExecutionContext",
    ],
    "orchestration/runtime/traced_executor.py": [
        "dagster._core.definitions.executor_definition:IN_PROC_CONFIG",
        "dagster._core.execution.context.system:PlanOrchestrationContext",
        "dagster._core.execution.plan.plan:ExecutionPlan",
        "dagster._core.execution.retries:RetryMode",
        "dagster._core.executor.in_process:InProcessExecutor",
    ],
    "orchestration/runtime/backfills.py": [
        "dagster._core.remote_representation.code_location:CodeLocation",
        "dagster._core.workspace.context:BaseWorkspaceRequestContext",
        "dagster._core.execution.backfill:BulkActionsFilter",
        "dagster._core.execution.backfill:BulkActionStatus",
        "dagster._core.execution.backfill:PartitionBackfill",
        "dagster._core.execution.job_backfill:create_backfill_run",
        "dagster._core.storage.dagster_run:NOT_FINISHED_STATUSES",
        "dagster._core.utils:make_new_backfill_id",
        "dagster._core.workspace.context:WorkspaceProcessContext",
        "dagster._core.workspace.load_target:ModuleTarget",
    ],
    "orchestration/runtime/code_location.py": [
        "dagster._core.definitions.run_request:InstigatorType",
        "dagster._core.scheduler.instigation:TickStatus",
    ],
    "orchestration/retries.py": [
        "dagster._core.definitions.assets.graph.asset_graph:AssetGraph",
        "dagster._core.execution.backfill:BulkActionStatus",
    ],
    "orchestration/runtime/event_log.py": [
        "dagster._core.events:ASSET_CHECK_EVENTS",
        "dagster._core.events:ASSET_EVENTS",
        "dagster._core.events:EVENT_TYPE_TO_PIPELINE_RUN_STATUS",
        "dagster._core.storage.event_log:SqlEventLogStorage",
        EVENT_LOG,
        f"{EVENT_LOG}._base_dir",
        f"{EVENT_LOG}._db_lock",
        f"{EVENT_LOG}._instance",
        "dagster._core.storage.event_log.schema:SqlEventLogStorageTable",
        "dagster._core.storage.event_log.sqlite.sqlite_event_log:INDEX_SHARD_NAME",
    ],
    "orchestration/runtime/durations.py": [
        "dagster._core.storage.runs.schema:RunsTable",
        "dagster._core.storage.runs.schema:RunTagsTable",
    ],
    "orchestration/runtime/pruning.py": [
        "dagster._core.execution.backfill:BULK_ACTION_TERMINAL_STATUSES",
        "dagster._core.storage.asset_check_execution_record:AssetCheckExecutionRecordStatus",
        "dagster._core.storage.asset_check_execution_record:COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES",
        "dagster._core.storage.dagster_run:FINISHED_STATUSES",
        "dagster._core.storage.event_log.schema:AssetCheckExecutionsTable",
        "dagster._core.storage.event_log.schema:AssetEventTagsTable",
        "dagster._core.storage.event_log.schema:SqlEventLogStorageMetadata",
        "dagster._core.storage.event_log.schema:SqlEventLogStorageTable",
        "dagster._core.storage.runs.schema:BackfillTagsTable",
        "dagster._core.storage.runs.schema:BulkActionsTable",
        "dagster._core.storage.runs.schema:RunsTable",
        "dagster._core.storage.runs.schema:RunStorageSqlMetadata",
        "dagster._core.storage.runs.schema:RunTagsTable",
        "dagster._core.storage.schedules.schema:JobTickTable",
        "dagster._core.storage.schedules.schema:ScheduleStorageSqlMetadata",
    ],
    "orchestration/runtime/instance.py": [
        "dagster._core.run_coordinator:QueuedRunCoordinator",
        "dagster._daemon.types:DaemonHeartbeat",
        "dagster._core.storage.base_storage:DagsterStorage",
        "dagster._core.storage.root:LocalArtifactStorage",
        "dagster._core.storage.sqlite_storage:DagsterSqliteStorage",
        "dagster._core.storage.sqlite_storage:DagsterSqliteStorage._event_log_storage",
        "dagster._core.storage.sqlite_storage:_event_logs_directory",
        "dagster._serdes:ConfigurableClass",
        "dagster._serdes:ConfigurableClassData",
        "dagster_postgres:PostgresEventLogStorage._engine",
        "dagster_postgres:PostgresRunStorage._engine",
    ],
    "orchestration/runtime/launcher.py": [
        "dagster._cli.api:execute_run_command",
        "dagster._core.launcher.base:CheckRunHealthResult",
        "dagster._core.launcher.base:LaunchRunContext",
        "dagster._core.launcher.base:WorkerStatus",
        LAUNCHER,
        f"{LAUNCHER}._instance",
        f"{LAUNCHER}._run_ids",
        "dagster._core.remote_origin:ManagedGrpcPythonEnvCodeLocationOrigin",
        "dagster._grpc.types:ExecuteRunArgs",
        "dagster._serdes:ConfigurableClassData",
        "dagster._serdes:serialize_value",
        "multiprocessing.process:_children",
    ],
    "orchestration/runtime/preload.py": [
        "dagster._cli.api",
        "dagster._core.execution.plan.active",
        "dagster._core.executor.in_process",
    ],
}
"""Other private parts, by module of Radar."""
PARTS = [
    Part(used_in, path, parameters) for used_in, methods in METHODS.items() for path, parameters in methods.items()
]
PARTS += [Part(used_in, path) for used_in, paths in NAMES.items() for path in paths]
DOCUMENTED = {"_asdict", "_fields", "_make", "_replace", "_exit"}
"""Names with an underscore that the Python documentation describes."""
_UNDERSCORE = re.compile(r"(?:^|[.:])_(?!_)")


def found(path: str) -> Any:
    """The object at a path. For an attribute that `__init__` sets, its name."""
    module, _, names = path.partition(":")
    value: Any = importlib.import_module(module)
    for name in filter(None, names.split(".")):
        value = name if _is_set(value, name) else getattr(value, name)
    return value


def _is_set(value: Any, name: str) -> bool:
    """Whether objects of a class get an attribute that the class itself doesn't have."""
    if hasattr(value, name) or not inspect.isclass(value):
        return False
    assignment = re.compile(rf"\bself\.{name}\b[^=\n]*=")
    return any(assignment.search(inspect.getsource(kind)) for kind in value.__mro__ if kind.__module__ != "builtins")


def is_private(path: str) -> bool:
    """Whether a path is of another library, and private. Of dagster_webserver nothing is documented."""
    return not path.startswith("radar_assets") and (
        bool(_UNDERSCORE.search(path)) or path.startswith("dagster_webserver")
    )


def private_uses(tree: ast.AST) -> Iterator[str]:
    """The private parts of libraries that a module uses: full paths, or `.name` for attributes of objects."""
    imported, own = {}, set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level:
            imported |= {alias.asname or alias.name: f"{node.module}:{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            imported |= {alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            own.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            own.add(node.attr)
    yield from filter(is_private, imported.values())
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr not in own | DOCUMENTED and _UNDERSCORE.match(node.attr):
            yield f".{node.attr}"
        elif (
            isinstance(node, ast.Constant)
            and re.fullmatch(r"\w+(\.\w+)+", str(node.value))
            and is_private(str(node.value))
        ):
            yield str(node.value)
        elif isinstance(node, ast.ClassDef):
            bases = [imported.get(ast.unparse(base), "radar_assets") for base in node.bases]
            methods = [child.name for child in node.body if isinstance(child, ast.FunctionDef)]
            for base in bases:
                if not base.startswith("radar_assets") and ":" in base:
                    yield from (
                        f".{name}" for name in methods if _UNDERSCORE.match(name) and hasattr(found(base), name)
                    )


def is_listed(use: str, used_in: str) -> bool:
    """Whether a use has an entry."""
    paths = [part.path for part in PARTS if part.used_in == used_in]
    return any(
        path == use or path.startswith(f"{use}:") or (use[0] == "." and path.endswith((use, f":{use[1:]}")))
        for path in paths
    )


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.path)
def test_a_private_part_is_where_radar_expects_it(part: Part) -> None:
    version = "" if part.library == "python" else f" {metadata.version(part.library)}"
    remedy = f"radar_assets/{part.used_in} relies on it: adapt it, or bound {part.library} in pyproject.toml"
    try:
        value = found(part.path)
    except (ImportError, AttributeError):
        pytest.fail(f"{part.library}{version} has no {part.path}. {remedy}")
    if part.parameters is not None:
        parameters = tuple(inspect.signature(value).parameters)[1:]
        assert parameters == part.parameters, f"{part.library}{version} changed {part.path}. {remedy}"


def test_every_used_private_part_is_listed() -> None:
    missing = [
        f"{file.relative_to(PACKAGE)} uses {use}"
        for file in sorted(PACKAGE.rglob("*.py"))
        for use in private_uses(ast.parse(file.read_text()))
        if not is_listed(use, str(file.relative_to(PACKAGE)))
    ]
    assert missing == [], "add an entry to NAMES or METHODS, and an upper bound of the library to pyproject.toml"


@pytest.mark.parametrize(
    ("code", "use"),
    [
        ("from dagster._core.events import DagsterEvent", "dagster._core.events:DagsterEvent"),
        ("def late():\n    import dagster._core.events", "dagster._core.events"),
        ("from dagster_webserver.app import create_app", "dagster_webserver.app:create_app"),
        ("from urllib3.util import _type", "urllib3.util:_type"),
        ("COMMAND = ['-m', 'dagster._cli.debug']", "dagster._cli.debug"),
        ("response._body = b''", "._body"),
        ("from uvicorn import Server\nclass Own(Server):\n    def _serve(self): ...", "._serve"),
    ],
)
def test_every_form_of_use_is_detected(code: str, use: str) -> None:
    assert use in [*private_uses(ast.parse(code))]


def test_there_are_no_entries_of_removed_modules() -> None:
    assert [part.used_in for part in PARTS if not (PACKAGE / part.used_in).exists()] == []


@pytest.mark.parametrize("library", sorted({part.library for part in PARTS} - {"python"}))
def test_libraries_with_used_private_parts_have_an_upper_version_bound(library: str) -> None:
    requirements = map(Requirement, metadata.requires("radar-assets") or ())
    bounds = next(requirement.specifier for requirement in requirements if requirement.name == library)
    tried = Version(metadata.version(library))
    assert f"{tried.major}.{tried.minor + 1}" not in bounds, f"pyproject.toml needs an upper bound for {library}"
