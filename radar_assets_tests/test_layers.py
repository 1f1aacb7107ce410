"""The layout holds: layers import only what comes before them, nothing imports in circles, and names follow the grammar."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import pytest

import radar_assets
from radar_assets.lakehouse.table import Table
from radar_assets.tables import TABLES

PACKAGE = Path(radar_assets.__file__).parent
FLOW = ["events", "collector", "metrics", "insights", "alerts", "reports", "operations", "api"]
"""The layers in the order of the flow; each may import those before it.

The collector is an exception: it writes what `events` declares, and no layer imports it.
"""
ROOT = {
    "durability",
    "markdown",
    "masking",
    "object_store",
    "origins",
    "permissions",
    "scratch",
    "settings",
    "urls",
    "windows",
}
GROUND = {
    "store": {*ROOT},
    "access": {*ROOT, "store"},
    "lakehouse": {*ROOT},
    "orchestration": {*ROOT, "lakehouse", "store"},
    "messaging": {*ROOT, "store"},
}
"""What the layers stand on, and what each of these may import."""
ENTRANCES = {"cli", "config", "definitions", "reading", "simulator", "tables"}
"""What puts the layers together; layers import none of it."""


def modules() -> dict[str, Path]:
    """The modules of the package by name."""
    found = {}
    for file in PACKAGE.rglob("*.py"):
        parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


MODULES = modules()


def names_imported(module: str, *, at_start: bool = False) -> set[str]:
    """Absolute names of what a module imports, in whatever form: modules, and what is imported from them.

    Args:
        at_start: only what is imported with the module, not inside functions or for type checkers.
    """
    package = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    tree = ast.parse(MODULES[module].read_text())
    names: set[str] = set()
    for node in _at_start(tree) if at_start else ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            origin = resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module or ""
            names |= {origin, *(f"{origin}.{alias.name}" for alias in node.names)}
    return names


def imported(module: str, *, at_start: bool = False) -> set[str]:
    """The modules of the package that a module imports; arguments as for `names_imported`."""
    return {name for name in names_imported(module, at_start=at_start) if name in MODULES}


def _at_start(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        yield child
        yield from _at_start(child)


def part(module: str) -> str:
    """The layer or root module that a module belongs to."""
    return module.split(".")[1] if "." in module else ""


def allowed(layer: str) -> set[str]:
    """The parts that a layer may import."""
    if layer in GROUND:
        return {*GROUND[layer], layer}
    if layer == "simulator":
        return {*ROOT, *GROUND, layer}
    return {*ROOT, *GROUND, *FLOW[: FLOW.index(layer) + 1]} - ({"collector"} - {layer})


@pytest.mark.parametrize("layer", [*FLOW, *GROUND, "simulator"])
def test_a_layer_imports_only_what_comes_before_it(layer: str) -> None:
    for module in MODULES:
        if part(module) == layer:
            parts = {part(name) for name in imported(module)} - {""}
            assert parts <= allowed(layer), module


@pytest.mark.parametrize("form", ["import radar_assets.cli", "from radar_assets import cli", "from .. import cli"])
def test_every_form_of_import_is_seen(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "sample.py"
    file.write_text(f"def late() -> None:\n    {form}\n")
    monkeypatch.setitem(MODULES, "radar_assets.events.sample", file)
    assert "radar_assets.cli" in imported("radar_assets.events.sample")


def test_modules_do_not_import_each_other_in_circles() -> None:
    """Functions may import what comes later, since heavy libraries are imported where they are used; modules may not."""
    graph = {name: {other for other in imported(name, at_start=True) if other != name} for name in MODULES}
    packages = {name for name in MODULES if MODULES[name].name == "__init__.py"}
    # A package that only has a docstring is imported before its modules and imports none of them.
    TopologicalSorter({name: others - packages for name, others in graph.items()}).prepare()


def test_modules_of_metrics_do_not_import_each_other_in_circles_inside_functions_either() -> None:
    layer = [name for name in MODULES if part(name) == "metrics"]
    TopologicalSorter({name: imported(name) for name in layer}).prepare()


def test_only_the_engines_and_radar_sql_import_duckdb() -> None:
    engines = {name for name in MODULES if name.startswith("radar_assets.lakehouse.engines.")}
    of_duckdb = {name for name in MODULES if any(each.split(".")[0] == "duckdb" for each in names_imported(name))}
    assert of_duckdb <= engines | {"radar_assets.cli.sql"}
    of_engine = {name for name in MODULES if "radar_assets.lakehouse.engines.duckdb" in imported(name)}
    assert of_engine <= {"radar_assets.lakehouse.lakehouse", "radar_assets.cli.sql"}


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


def test_every_table_has_the_sql_file_of_its_name_in_its_layer() -> None:
    models = {path.stem for path in PACKAGE.rglob("sql/*.sql")}
    assert set(TABLES) <= models
