"""The private parts of libraries that Radar builds on: an upgrade that moves one fails here, with the module that needs it.

Each of these libraries has an upper bound in pyproject.toml, so that an installed wheel never meets a version that was not tried.
"""

import importlib
import inspect
from importlib import metadata
from typing import Any, NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.version import Version


class Part(NamedTuple):
    """A private part.

    Attributes:
        path: module and attribute, with a colon between them.
        parameters: those of a method that is called or overridden, without `self`; `None` for anything else.
        used_in: the module that relies on it.
    """

    library: str
    path: str
    parameters: tuple[str, ...] | None
    used_in: str


PROTOCOL = "uvicorn.protocols.http.httptools_impl:HttpToolsProtocol"
PRODUCER = "pyiceberg.table.update.snapshot:_SnapshotProducer"
EVENT_LOG = "dagster._core.storage.event_log:SqliteEventLogStorage"
LAUNCHER = "dagster._core.launcher.default_run_launcher:DefaultRunLauncher"
PARTS = [
    Part("uvicorn", f"{PROTOCOL}.on_message_begin", (), "collector/protocol.py"),
    Part("uvicorn", f"{PROTOCOL}.on_header", ("name", "value"), "collector/protocol.py"),
    Part("uvicorn", f"{PROTOCOL}.on_headers_complete", (), "collector/protocol.py"),
    Part("uvicorn", f"{PROTOCOL}.send_400_response", ("msg",), "collector/protocol.py"),
    Part("urllib3", "urllib3.connection:HTTPConnection._new_conn", (), "messaging/transport/http.py"),
    Part("urllib3", "urllib3.connection:HTTPSConnection._new_conn", (), "messaging/transport/http.py"),
    Part("urllib3", "urllib3:HTTPConnectionPool.ConnectionCls", None, "messaging/transport/http.py"),
    Part("urllib3", "urllib3:PoolManager.pool_classes_by_scheme", None, "messaging/transport/http.py"),
    Part("requests", "requests:Response._content", None, "messaging/transport/http.py"),
    Part("requests", "requests:Response._content_consumed", None, "messaging/transport/http.py"),
    Part("requests", "requests:Session.get_redirect_target", ("resp",), "messaging/transport/http.py"),
    Part("apprise", "apprise.plugins.telegram:requests", None, "messaging/chat/through_apprise.py"),
    Part("apprise", "apprise.plugins.slack:requests", None, "messaging/chat/through_apprise.py"),
    Part("apprise", "apprise:NotifyBase.throttle", ("last_io", "wait"), "messaging/chat/through_apprise.py"),
    Part("pyiceberg", f"{PRODUCER}._existing_manifests", (), "lakehouse/replacement.py"),
    Part("pyiceberg", f"{PRODUCER}._deleted_entries", (), "lakehouse/replacement.py"),
    Part("pyiceberg", f"{PRODUCER}._build_delete_files_partition_predicate", (), "lakehouse/replacement.py"),
    Part("pyiceberg", f"{PRODUCER}.new_manifest_writer", ("spec",), "lakehouse/replacement.py"),
    Part("pyiceberg", "pyiceberg.table:Transaction.table_metadata", None, "lakehouse/replacement.py"),
    Part("pyiceberg", "pyiceberg.catalog.sql:IcebergTables.metadata_location", None, "lakehouse/catalog.py"),
    Part("dagster", f"{EVENT_LOG}._connect", ("shard",), "orchestration/runtime/instance.py"),
    Part("dagster", f"{EVENT_LOG}._initdb", ("engine", "for_index_shard"), "orchestration/runtime/instance.py"),
    Part("dagster", f"{EVENT_LOG}.has_table", ("table_name",), "orchestration/runtime/instance.py"),
    Part(
        "dagster",
        "dagster:AssetCheckResult._get_unpartitioned_target_materialization_data",
        ("step_context", "asset_key"),
        "orchestration/checks.py",
    ),
    Part("dagster", "dagster._core.storage.runs:SqlRunStorage.get_run_storage_id", (), "cli/apply.py"),
    Part("dagster", f"{LAUNCHER}.launch_run", ("context",), "orchestration/runtime/launcher.py"),
    Part("dagster", f"{LAUNCHER}.check_run_worker_health", ("run",), "orchestration/runtime/launcher.py"),
    Part("dagster", "dagster._cli.api:execute_run_command", None, "orchestration/runtime/launcher.py"),
    Part("python", "multiprocessing.process:_children", None, "orchestration/runtime/launcher.py"),
]


def found(path: str) -> Any:
    """What a path names; for an attribute that only instances have, that of a new one."""
    module, _, names = path.partition(":")
    value: Any = importlib.import_module(module)
    for name in names.split("."):
        value = getattr(value, name) if hasattr(value, name) else getattr(value(), name)
    return value


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


@pytest.mark.parametrize("library", sorted({part.library for part in PARTS} - {"python"}))
def test_a_library_with_private_parts_in_use_is_bounded_to_the_versions_that_were_tried(library: str) -> None:
    requirements = map(Requirement, metadata.requires("radar-assets") or ())
    bounds = next(requirement.specifier for requirement in requirements if requirement.name == library)
    tried = Version(metadata.version(library))
    assert f"{tried.major}.{tried.minor + 1}" not in bounds, f"pyproject.toml needs an upper bound for {library}"
