"""The layout: layers only import earlier layers, imports have no cycles, names follow the grammar, and modules are short."""

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib import import_module
from importlib.util import resolve_name
from pathlib import Path

import pytest

import radar_assets
from radar_assets.config import Config
from radar_assets.environment import EnvironmentSettings
from radar_assets.lakehouse.table import Table
from radar_assets.sections import Section
from radar_assets.settings import Settings
from radar_assets.tables import TABLES

PACKAGE = Path(radar_assets.__file__).parent
FLOW = ["events", "collector", "metrics", "insights", "alerts", "reports", "operations", "api"]
"""The layers in the order of the flow; each may import those before it.

The collector is an exception: it writes what `events` declares, and no layer imports it.
"""
ROOT = {
    *("calendar", "durability", "environment", "errors", "home", "markdown", "masking", "object_store"),
    *("origins", "permissions", "scratch", "sections", "tracing", "urls", "windows"),
}
GROUND = {
    "store": {*ROOT},
    "access": {*ROOT, "store"},
    "lakehouse": {*ROOT},
    "orchestration": {*ROOT, "access", "lakehouse", "store"},
    "messaging": {*ROOT, "store"},
}
"""The packages beneath the layers, and what each of them may import."""
ENTRANCES = {"cli", "config", "definitions", "reading", "settings", "simulator", "tables"}
"""The modules that combine the layers. Layers don't import them."""
MAX_LINES = 400


def modules() -> dict[str, Path]:
    """The modules of the package by name."""
    found = {}
    for file in PACKAGE.rglob("*.py"):
        parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


MODULES = modules()


def names_imported(module: str, *, at_start: bool = False) -> set[str]:
    """Absolute names of a module's imports, in every form: modules, and names imported from them.

    Args:
        at_start: only imports that run with the module, not those inside functions or for type checkers.
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
def test_a_layer_only_imports_earlier_layers(layer: str) -> None:
    for module in MODULES:
        if part(module) == layer:
            parts = {part(name) for name in imported(module)} - {""}
            assert parts <= allowed(layer), module


def test_root_modules_import_nothing_but_each_other() -> None:
    for module in MODULES:
        if part(module) in ROOT:
            assert {part(name) for name in imported(module)} - {""} <= ROOT, module


@pytest.mark.parametrize("form", ["import radar_assets.cli", "from radar_assets import cli", "from .. import cli"])
def test_every_form_of_import_is_detected(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "sample.py"
    file.write_text(f"def late() -> None:\n    {form}\n")
    monkeypatch.setitem(MODULES, "radar_assets.events.sample", file)
    assert "radar_assets.cli" in imported("radar_assets.events.sample")


def test_module_imports_have_no_cycles() -> None:
    """Imports inside functions are not considered, since heavy libraries are imported where they are used."""
    graph = {name: {other for other in imported(name, at_start=True) if other != name} for name in MODULES}
    packages = {name for name in MODULES if MODULES[name].name == "__init__.py"}
    # Packages with only a docstring are imported before their modules and import none of them.
    TopologicalSorter({name: others - packages for name, others in graph.items()}).prepare()


def test_imports_of_metrics_have_no_cycles_inside_functions_either() -> None:
    layer = [name for name in MODULES if part(name) == "metrics"]
    TopologicalSorter({name: imported(name) for name in layer}).prepare()


def test_only_the_engines_and_radar_sql_import_duckdb() -> None:
    engines = {name for name in MODULES if name.startswith("radar_assets.lakehouse.engines.")}
    of_duckdb = {name for name in MODULES if any(each.split(".")[0] == "duckdb" for each in names_imported(name))}
    assert of_duckdb <= engines | {"radar_assets.cli.sql"}
    of_engine = {name for name in MODULES if "radar_assets.lakehouse.engines.duckdb" in imported(name)}
    assert of_engine <= {"radar_assets.lakehouse.lakehouse", "radar_assets.cli.sql"}


@pytest.mark.parametrize(
    ("file", "base", "composed"), [("settings", EnvironmentSettings, Settings), ("config", Section, Config)]
)
def test_settings_and_sections_of_every_layer_are_composed(file: str, base: type, composed: type) -> None:
    modules = [import_module(name) for name in MODULES if re.fullmatch(rf"radar_assets\.\w+\.{file}", name)]
    declared = {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, base) and value.__module__ == module.__name__
    }
    assert len(declared) >= len(modules) > 0
    assert declared <= set(composed.__mro__)


def test_only_the_root_composes_sections() -> None:
    for module in MODULES:
        sections = {name for name in imported(module) if re.fullmatch(r"radar_assets\.\w+\.config", name)}
        assert not sections or module == "radar_assets.config", module


def test_every_part_of_the_package_is_assigned() -> None:
    parts = {path.stem for path in PACKAGE.iterdir() if not path.name.startswith("__") and path.suffix in ("", ".py")}
    assert parts <= {*FLOW, *ROOT, *GROUND, *ENTRANCES}


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_columns_follow_the_naming_grammar(table: Table) -> None:
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


def test_every_table_has_a_sql_file_of_its_name() -> None:
    models = {path.stem for path in PACKAGE.rglob("sql/*.sql")}
    assert set(TABLES) <= models


def test_modules_are_short_unless_their_docstring_gives_a_reason() -> None:
    """The docstring of a longer module has to mention the limit, as in `Over 400 lines, because ...`."""
    tests = Path(__file__).parent
    sources = {path: path.read_text() for path in [*PACKAGE.rglob("*.py"), *tests.rglob("*.py")]}
    long = {path for path, source in sources.items() if source.count("\n") > MAX_LINES}
    assert [
        path for path in long if f"{MAX_LINES} lines" not in (ast.get_docstring(ast.parse(sources[path])) or "")
    ] == []
