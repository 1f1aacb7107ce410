"""Fills the generated parts of the docs, and `.env.example`, from the code: `uv run python docs/generate.py`.

A page marks such a part with `<!-- begin generated: NAME -->` and `<!-- end generated -->`; everything around it is written by hand.
With `--check` nothing is written, and the exit code says whether everything is current.
"""

import ast
import difflib
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from radar_assets.cli import app
from radar_assets.collector.doors import DOORS
from radar_assets.config import Config
from radar_assets.definitions import build_defs
from radar_assets.events.contract import DEFAULT_EVENTS, MAX_TEXT, CanonicalEvent, Reason
from radar_assets.events.tables import RAW_EVENTS
from radar_assets.lakehouse.contract import Table
from radar_assets.metrics.registry import CONVERSIONS, ERRORS, SIGNUPS, STANDARD_METRICS
from radar_assets.settings import Settings
from radar_assets.tables import TABLES

PROJECT = Path(__file__).resolve().parents[1]
DOCS = PROJECT / "docs"
PART = re.compile(
    r"(<!-- begin generated: (?P<name>\w+) -->\n).*?(?P<end><!-- end generated -->)",
    re.DOTALL,
)
WIDTH = 100
ENV_HEADER = """\
# Settings of Radar, all of them optional. Copy this file to .env, uncomment what you change, and load it into the environment,
# for example with systemd's EnvironmentFile= or docker run --env-file. docs/reference/settings.md describes the same settings.
"""


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; line breaks, bars and placeholders such as `<home>` in cells are made safe."""
    lines = [headings, ["---"] * len(headings), *rows]
    cells = (
        [re.sub(r"<(?=\w+>(?!`))(?!br>)", "&lt;", " ".join(cell.split()).replace("|", "\\|")) for cell in line]
        for line in lines
    )
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def code(text: object) -> str:
    """Text in code font; empty text stays empty."""
    return f"`{text}`" if text not in (None, "") else ""


def attribute_docs(owner: type) -> dict[str, str]:
    """The docstrings below the attributes of a class, and the entries of `Attributes:` in its own docstring."""
    [node] = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    assert isinstance(node, ast.ClassDef)
    docs = described_attributes(ast.get_docstring(node) or "")
    for statement, following in zip(node.body, node.body[1:], strict=False):
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            target = statement.target if isinstance(statement, ast.AnnAssign) else None
            target = statement.targets[0] if isinstance(statement, ast.Assign) else target
            if isinstance(target, ast.Name):
                docs[target.id] = inspect.cleandoc(str(following.value.value))
    return docs


def described_attributes(docstring: str) -> dict[str, str]:
    """What the section `Attributes:` of a docstring says of each."""
    section = re.search(r"^Attributes:\n((?:[ ]{4}.*\n?|\n)+)", docstring, re.MULTILINE)
    entries = re.findall(r"^ {4}(\w[\w, ]*): (.*(?:\n {8}.*)*)", section[1], re.MULTILINE) if section else []
    return {name: " ".join(text.split()) for names, text in entries for name in re.split(r",\s*", names)}


def sentence(text: str) -> str:
    """The text as a sentence."""
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", "?", "`")) or not text else ".")


# Settings


def default_of(field: FieldInfo) -> str:
    """What a setting is when it is not set, as one would write it; empty where the description says it."""
    if field.default_factory is not None:
        return "number of CPUs"
    if field.default in (None, ""):
        return ""
    return (
        str(field.default).lower()
        if isinstance(field.default, bool)
        else f"{field.default:g}"
        if isinstance(field.default, float)
        else str(field.default)
    )


def settings_table() -> str:
    """All settings."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = default_of(field)
        shown = default if default == "number of CPUs" else code(default)
        secret = " Secret." if SecretStr in (field.annotation, *get_args(field.annotation)) else ""
        rows.append([f'<a id="radar_{name}"></a>`RADAR_{name.upper()}`', shown, f"{field.description or ''}{secret}"])
    return markdown_table(("variable", "default", "description"), rows)


def env_example() -> str:
    """`.env.example`."""
    parts = [ENV_HEADER]
    for name, field in Settings.model_fields.items():
        default = default_of(field)
        value = "" if default == "number of CPUs" else default
        parts.append(f"{wrapped(field.description or '')}\n#RADAR_{name.upper()}={value}\n")
    return "\n".join(parts)


def wrapped(text: str) -> str:
    """Text as lines of a comment."""
    return textwrap.fill(" ".join(text.split()), WIDTH, initial_indent="# ", subsequent_indent="# ")


# Command line


def cli_reference() -> str:
    """Every command with its arguments and options."""
    text = app.generate_docs(heading_level=1)
    # The overview is in the groups of the help, whose headings and links say the same as a table of contents.
    text = re.sub(r"## Table of Contents\n.*?(?=\*\*Start\*\*)", "", text, flags=re.DOTALL)
    text = text.partition("\n\n")[2]
    head, marker, commands = text.partition("\n## ")
    # An option of every command is said once, at the top.
    commands = re.sub(r"^\* `--debug`: .*\n", "", commands, flags=re.MULTILINE)
    commands = re.sub(r"\*\*Options\*\*:\n\n(?=\n|#|\Z)", "", commands)
    commands = re.sub(r", --empty-[\w-]+", "", commands)
    return re.sub(r"\n{3,}", "\n\n", f"{head}{marker}{commands}").strip()


# Tables


def layer_of(table: Table) -> Path:
    """Folder of the layer that a table belongs to: where its SQL is."""
    [model] = PROJECT.glob(f"radar_assets/*/sql/{table.name}.sql")
    return model.parents[1].relative_to(PROJECT)


def source(path: Path, text: str = "") -> str:
    """A link from a page of the reference to a file of the repository."""
    return f"[`{text or path.name}`](../../{path.as_posix()})"


def tables_reference() -> str:
    """Every table: where it is declared and built, what it is built from, and its columns."""
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
        ("Declaration", source(layer / "tables.py", f"{layer}/tables.py")),
        ("SQL", source(layer / "sql" / f"{table.name}.sql", f"{layer}/sql/{table.name}.sql")),
        ("Asset", source(layer / "assets.py", f"{layer}/assets.py")),
        ("Tests", source(Path("radar_assets_tests") / layer.name, f"radar_assets_tests/{layer.name}/")),
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


# Events


def event_fields() -> str:
    """The fields of the canonical event."""
    described = {column.name: column.description for column in RAW_EVENTS.columns}
    docs = attribute_docs(CanonicalEvent)
    rows = []
    for name, field in CanonicalEvent.model_fields.items():
        text = " ".join(filter(None, (described[name], docs.get(name))))
        rows.append([code(name), event_type(field), "yes" if field.is_required() else "", text])
    return markdown_table(("field", "type", "required", "description"), rows)


def event_type(field: FieldInfo) -> str:
    """The type of a field of the canonical event, in words."""
    kinds = str(field.annotation)
    if choices := literals(field.annotation):
        return "one of " + ", ".join(map(code, choices))
    if "dict" in kinds:
        return "object"
    return "RFC 3339 time" if "datetime" in kinds else f"text, at most {MAX_TEXT} characters"


def rejection_reasons() -> str:
    """The reasons for which lines are rejected, in the order in which they are tried."""
    return enum_table(Reason, "reason")


def enum_table(members: type[StrEnum], heading: str) -> str:
    """The values of an enumeration, with the docstrings of its members."""
    docs = attribute_docs(members)
    return markdown_table((heading, "meaning"), ([code(one.value), docs.get(one.name, "")] for one in members))


def event_names() -> str:
    """The names of events that have a meaning of their own."""
    rows = [[code(name), f"The default name of events of type `{kind}`."] for kind, name in DEFAULT_EVENTS.items()]
    rows[0][1] += " Counted by `page_views`, and by everything about pages."
    for metric, names in (("signups", SIGNUPS), ("conversions", CONVERSIONS), ("errors", ERRORS)):
        rows.append([", ".join(map(code, names)), f"Counted by the metric `{metric}`."])
    return markdown_table(("event", "meaning"), rows)


def doors_table() -> str:
    """The protocols that the collector takes, with their routes."""
    rows = []
    for door in DOORS:
        # Senders may add a slash, which says nothing.
        routes = dict.fromkeys(f"{method} {path.rstrip('/')}" for method, path in door.routes)
        rows.append([code(door.name), "<br>".join(map(code, routes))])
    return markdown_table(("protocol", "routes"), rows)


# Metrics


def metrics_table() -> str:
    """The standard metrics."""
    rows = [
        [code(metric.name), metric.title, " and ".join(metric.grains), metric.unit or "", metric.description]
        for metric in STANDARD_METRICS
    ]
    return markdown_table(("metric", "title", "values by", "unit", "description"), rows)


def metric_expressions() -> str:
    """Their expressions; the lists of names are on the page of events."""
    rows = [
        [
            code(metric.name),
            code(metric.source),
            code(re.sub(r" in \((?:'[^']*',? ?){4,}\)", " in (...)", metric.expression)),
        ]
        for metric in STANDARD_METRICS
    ]
    return markdown_table(("metric", "source", "expression"), rows)


def checks_table() -> str:
    """The checks of the assets, without those that every table has and those of rules."""
    with TemporaryDirectory() as home:
        definitions = build_defs(Settings(home=Path(home)))
        specs = [spec for check in definitions.asset_checks or () for spec in getattr(check, "check_specs", ())]
    order = list(TABLES)
    rows = [
        [code(spec.name), code(spec.asset_key.to_user_string()), spec.description or ""]
        for spec in sorted(specs, key=lambda one: [*order, "alert_deliveries"].index(one.asset_key.to_user_string()))
        if spec.name != "schema_equals_contract"
    ]
    return markdown_table(("check", "on", "passes when"), rows)


# radar.yaml


def radar_yaml_reference() -> str:
    """The sections of `radar.yaml`, with the fields of what they list."""
    parts = []
    for section, field in Config.model_fields.items():
        item = get_args(field.annotation)[0]
        models = [one for one in flattened(item) if hasattr(one, "model_fields")]
        parts.append(f"## {section}")
        for model in models:
            kind = model.model_fields.get("type") if len(models) > 1 else None
            parts += [f"### {get_args(kind.annotation)[0]}"] if kind else []
            parts += model_reference(model, nested=not kind)
    return "\n\n".join(parts)


def flattened(annotation: Any) -> list[Any]:
    """The members of a union, and of those in it; anything else stands for itself."""
    if get_origin(annotation) is dict:
        return flattened(get_args(annotation)[1])
    if get_origin(annotation) is Literal:
        return []
    inner = [one for one in get_args(annotation) if not isinstance(one, FieldInfo | str)]
    return [leaf for one in inner for leaf in flattened(one)] if inner else [annotation]


def model_reference(model: Any, *, nested: bool) -> list[str]:
    """A table of the fields of a model; after it those of the models in its fields."""
    docs: dict[str, str] = {}
    for base in reversed(model.__mro__):
        docs |= (
            described_attributes(inspect.cleandoc(base.__doc__ or "")) if base.__module__.startswith("radar_") else {}
        )
    rows, inside = [], []
    for name, field in model.model_fields.items():
        default = "required" if field.is_required() else code(default_in_yaml(field.default))
        text = field.description or docs.get(name, "")
        rows.append([code(field.alias or name), type_in_yaml(field), default, sentence(text)])
        inside += [one for one in flattened(field.annotation) if nested and hasattr(one, "model_fields")]
    summary = " ".join(inspect.cleandoc(model.__doc__ or "").partition("\n\n")[0].split())
    parts = [summary, markdown_table(("field", "type", "default", "description"), rows)]
    for one in inside:
        parts += [f"### {one.__name__}", *model_reference(one, nested=False)]
    return parts


def default_in_yaml(value: object) -> str:
    """A default as it would stand in the file; empty for what is absent."""
    if value is None or value in ("", (), {}):
        return ""
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if value == "*" else str(value)


WORDS: Mapping[str, str] = {
    "str": "text",
    "SecretStr": "text or `env:NAME`",
    "int": "integer",
    "float": "number",
    "bool": "true or false",
    "timedelta": "span such as `4h`",
    "time": "time such as `22:00`",
}


def type_in_yaml(field: FieldInfo) -> str:
    """What a field takes, in words."""
    annotation = field.annotation
    shape = str(annotation)
    names = []
    for leaf in flattened(annotation):
        if leaf in (NoneType, Ellipsis):
            continue
        name = getattr(leaf, "__name__", "")
        names.append(WORDS.get(name, f"[{name}](#{name.lower()})" if hasattr(leaf, "model_fields") else name))
    choices = literals(annotation)
    words = " or ".join(dict.fromkeys([*map(code, choices), *filter(None, names)]))
    if "tuple[" in shape or "list[" in shape:
        return f"{' or '.join(map(code, choices))} or list of text" if choices else f"list of {words}"
    return f"{words} by project id" if "dict[" in shape else words


def literals(annotation: Any) -> list[str]:
    """The texts that a `Literal` allows, also inside a union."""
    texts = [one for one in get_args(annotation) if isinstance(one, str)]
    return texts + [text for one in get_args(annotation) if not isinstance(one, str) for text in literals(one)]


PARTS: Mapping[str, Callable[[], str]] = {
    "settings": settings_table,
    "cli": cli_reference,
    "tables": tables_reference,
    "event_fields": event_fields,
    "rejection_reasons": rejection_reasons,
    "event_names": event_names,
    "doors": doors_table,
    "checks": checks_table,
    "metrics": metrics_table,
    "metric_expressions": metric_expressions,
    "radar_yaml": radar_yaml_reference,
}


def generated() -> dict[Path, str]:
    """Every file that has a generated part, as it has to be."""
    files = {PROJECT / ".env.example": env_example()}
    for page in sorted(DOCS.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        if PART.search(text):
            files[page] = PART.sub(lambda part: f"{part[1]}\n{PARTS[part['name']]()}\n\n{part['end']}", text)
    return files


def main(arguments: Sequence[str]) -> int:
    """Write what is not current, or with `--check` show it; 1 where something was not."""
    outdated = 0
    for path, text in generated().items():
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        if before == text:
            continue
        outdated += 1
        name = path.relative_to(PROJECT).as_posix()
        if "--check" in arguments:
            changes = difflib.unified_diff(
                before.splitlines(), text.splitlines(), name, f"{name}, generated", lineterm=""
            )
            print(*changes, sep="\n")
        else:
            path.write_text(text, encoding="utf-8")
            print(f"Wrote {name}")
    if outdated and "--check" in arguments:
        print("Not current; run: uv run python docs/generate.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
