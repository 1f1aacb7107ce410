"""The layout holds: layers import only what comes before them in the flow, and names follow the grammar."""

import ast
from pathlib import Path

import pytest

import radar_assets
from radar_assets.lakehouse.contract import Table
from radar_assets.lakehouse.tables import TABLES

PACKAGE = Path(radar_assets.__file__).parent
FLOW = ["events", "collector", "metrics", "insights", "alerts", "reports", "operations", "api"]
"""The layers in the order of the flow; each may import those before it.

But for the collector, which comes first: what it writes is what `events` declares, the contract and the landing zone. None of the
layers imports it.
"""
ROOT = {
    "settings",
    "partitions",
    "automation",
    "config",
    "instance",
    "markdown",
    "masking",
    "object_store",
    "permissions",
    "process_identity",
    "urls",
}
GROUND = ("lakehouse", "store")
ENTRANCES = {"cli", "definitions", "jobs", "launcher", "preload", "schedules", "sensors", "simulator", "supervisor"}
"""What puts the layers together, and what none of them may import."""


def imported(file: Path) -> set[str]:
    """The parts of the package that a module imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("radar_assets."):
            names.add(node.module.split(".")[1])
    return names


@pytest.mark.parametrize("layer", [*FLOW, *GROUND, "simulator"])
def test_a_layer_imports_only_what_comes_before_it(layer: str) -> None:
    if layer in GROUND:
        allowed = {"settings", "partitions", "masking", layer}
    elif layer == "simulator":
        allowed = {*ROOT, *GROUND, layer}
    else:
        allowed = {*ROOT, *GROUND, *FLOW[: FLOW.index(layer) + 1]} - ({"collector"} - {layer})
    for file in (PACKAGE / layer).rglob("*.py"):
        assert imported(file) <= allowed, file


def test_every_part_of_the_package_has_its_place() -> None:
    parts = {path.stem for path in PACKAGE.iterdir() if not path.name.startswith("__") and path.suffix in ("", ".py")}
    assert parts <= {*FLOW, *ROOT, *GROUND, *ENTRANCES}


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_columns_are_named_by_the_grammar(table: Table) -> None:
    names = set(table.column_names)
    assert set(table.key) <= names
    assert {column for column, _ in table.partition_by} <= names
    for column in table.columns:
        if column.type == "boolean":
            assert column.name.startswith(("is_", "has_")), column.name
        if column.type == "timestamp":
            assert column.name.endswith(("_at", "hour", "event_time", "timestamp")), column.name
        if column.name.endswith("_id"):
            assert column.type == "string", column.name
        assert column.description.endswith((".", "n")), column.name


def test_every_table_with_a_model_has_the_sql_file_of_its_name() -> None:
    models = {path.stem for path in PACKAGE.rglob("sql/*.sql")}
    assert set(TABLES) <= models
