"""The tables, and the checks of their assets."""

import inspect
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg
from parts.text import code, markdown_table

from radar_assets.definitions import build_defs
from radar_assets.events.tables import RAW_EVENTS
from radar_assets.lakehouse.table import Table
from radar_assets.reading import read_table
from radar_assets.settings import Settings
from radar_assets.tables import TABLES

PROJECT = Path(__file__).resolve().parents[2]
TESTS = {
    "raw_events": ("events/test_contract.py", "orchestration/test_triggers.py"),
    "rejected_events": ("events/test_contract.py", "events/test_replay.py", "orchestration/test_checks.py"),
    "events": ("events/test_enrichment.py", "test_properties.py"),
    "sessions": ("test_properties.py", "orchestration/test_checks.py"),
    "hourly_metrics": ("metrics/test_standard_metrics.py", "metrics/test_fallback.py"),
    "daily_metrics": ("metrics/test_standard_metrics.py", "orchestration/test_checks.py"),
    "daily_breakdowns": ("metrics/test_breakdowns.py",),
    "alerts": ("alerts/test_sensors.py", "alerts/test_ledger.py"),
}
"""The test files in which to look first for a table; by default all tests of its layer."""


@cache
def definitions() -> dg.Definitions:
    """The definitions of a fresh home."""
    with TemporaryDirectory() as home:
        return build_defs(Settings(home=Path(home)))


@cache
def built_by(job: str) -> set[str]:
    """The assets that a job materializes."""
    return {key.to_user_string() for key in definitions().resolve_job_def(job).asset_layer.executable_asset_keys}


def triggers_of(table: Table) -> list[str]:
    """The sensors and schedules whose jobs build a table."""
    jobs = {str(sensor.name): [target.job_name for target in sensor.targets] for sensor in definitions().sensors or ()}
    del jobs["retry_sensor"]  # repeats what the others have triggered
    jobs |= {str(schedule.name): [getattr(schedule, "job_name", "")] for schedule in definitions().schedules or ()}
    triggers = [trigger for trigger, names in jobs.items() if any(table.name in built_by(name) for name in names)]
    # A table without inputs is never stale, although its job builds tables that are.
    return [trigger for trigger in triggers if table.inputs or not trigger.startswith("stale_")]


def tests_of(table: Table) -> str:
    """Where a table is tested: the most telling files, else the tests of its layer."""
    files = TESTS.get(table.name, (f"{layer_of(table).name}/",))
    return ", ".join(source(Path("radar_assets_tests") / file, file) for file in files)


def layer_of(table: Table) -> Path:
    """Folder of the layer that owns a table: the one with its SQL."""
    [model] = PROJECT.glob(f"radar_assets/*/sql/{table.name}.sql")
    return model.parents[1].relative_to(PROJECT)


def source(path: Path, text: str = "") -> str:
    """A link from a reference page to a file in the repository."""
    return f"[`{text or path.name}`](../../{path.as_posix()})"


def tables_reference() -> str:
    """Every table: its columns, its inputs, and where it is declared and built."""
    return "\n\n".join(table_reference(table) for table in TABLES.values())


def table_reference(table: Table) -> str:
    """One table."""
    layer = layer_of(table)
    partitions = ", ".join(f"{unit} of `{column}`" for column, unit in table.partition_by)
    inputs = ", ".join(f"[`{parent.name}`](#{parent.name})" for parent in table.inputs)
    facts = [
        ("Partitioned by", partitions),
        ("Key", ", ".join(code(name) for name in table.key)),
        ("Built from", inputs or ("the landing zone" if table is RAW_EVENTS else "the operational store")),
        ("Triggered by", ", ".join(map(code, triggers_of(table)))),
        ("Declaration", source(layer / "tables.py", f"{layer}/tables.py")),
        ("SQL", source(layer / "sql" / f"{table.name}.sql", f"{layer}/sql/{table.name}.sql")),
        ("Asset", source(layer / "assets.py", f"{layer}/assets.py")),
        ("Tests", tests_of(table)),
    ]
    columns = [
        [
            code(column.name),
            code(column.type),
            "yes" if column.nullable else "",
            column.unit or "",
            column.description,
        ]
        for column in table.columns
    ]
    return "\n".join(
        [
            f"## {table.name}\n",
            f"{table.description}\n",
            *(f"- **{name}:** {value}" for name, value in facts),
            "",
            markdown_table(("column", "type", "nullable", "unit", "description"), columns),
        ]
    )


def frame_dtypes() -> str:
    """The table of dtypes in the docstring of `read_table`."""
    lines = inspect.getdoc(read_table) or ""
    return "\n".join(line for line in lines.splitlines() if line.startswith("|"))


def checks_table() -> str:
    """The checks of the assets, without those that every table has and those of alert rules."""
    specs = [spec for check in definitions().asset_checks or () for spec in getattr(check, "check_specs", ())]
    order = list(TABLES)
    rows = [
        [code(spec.name), code(spec.asset_key.to_user_string()), spec.description or ""]
        for spec in sorted(specs, key=lambda one: [*order, "alert_deliveries"].index(one.asset_key.to_user_string()))
        if spec.name not in ("schema_equals_contract", "files_are_intact")
    ]
    return markdown_table(("check", "on", "passes when"), rows)
