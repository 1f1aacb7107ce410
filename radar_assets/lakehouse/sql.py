"""SQL models, each one statement in a `.sql` file named like its table, and their column lineage."""

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from radar_assets.lakehouse.table import Table

if TYPE_CHECKING:
    from sqlglot import exp

Lineage = dict[str, list[tuple[str, str]]]
"""The `(table, column)` pairs that each column of a model is computed from."""


@dataclass(frozen=True)
class SqlModel:
    """One SQL statement over named relations, with named parameters such as `$start`."""

    name: str
    sql: str

    def with_fragments(self, **fragments: str) -> "SqlModel":
        """The model with SQL in place of parameters: rules that are declared in code, and constants that have to be literals.

        Args:
            fragments: trusted SQL by name of the parameter.
        """
        names = "|".join(map(re.escape, fragments))
        return SqlModel(self.name, re.sub(rf"\$({names})\b", lambda found: fragments[found[1]], self.sql))

    def parse(self) -> "exp.Query":
        """The statement's syntax tree."""
        import sqlglot
        from sqlglot import exp

        tree = sqlglot.parse_one(self.sql, dialect="duckdb")
        if not isinstance(tree, exp.Query):
            raise TypeError(f"{self.name}.sql is not a query")
        return tree


def literal(text: str) -> str:
    """A text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


@cache
def load_model(package: str, name: str) -> SqlModel:
    """Read `sql/<name>.sql` of a layer, such as `radar_assets.events`."""
    return SqlModel(name, (resources.files(package) / "sql" / f"{name}.sql").read_text(encoding="utf-8"))


@cache
def column_lineage(
    model: SqlModel,
    tables: tuple[Table, ...],
    **relations: "tuple[str, ...] | SqlModel",
) -> Lineage:
    """The table columns that each column of a model is computed from.

    Args:
        tables: the tables that the model may read.
        relations: the model's other inputs: their columns, which don't appear in the lineage, or queries over the inputs.
    """
    from sqlglot import exp
    from sqlglot.lineage import lineage
    from sqlglot.optimizer.qualify import qualify
    from sqlglot.optimizer.scope import build_scope

    names = {table.name for table in tables}
    views: dict[str, Any] = {
        name: relation.parse() for name, relation in relations.items() if isinstance(relation, SqlModel)
    }
    columns = {name: relation for name, relation in relations.items() if not isinstance(relation, SqlModel)}
    inputs = {**{table.name: table.column_names for table in tables}, **columns}
    schema: dict[str, object] = {name: dict.fromkeys(columns, "varchar") for name, columns in inputs.items()}
    whole: Any = exp.expand(model.parse(), views)
    tree = qualify(whole, schema=schema, dialect="duckdb", validate_qualify_columns=False, identify=False)
    scope = build_scope(tree)
    found: Lineage = {}
    for column in tree.named_selects:
        sources: set[tuple[str, str]] = set()
        for node in lineage(
            column, tree, schema=schema, scope=scope, dialect="duckdb", copy=False, trim_selects=False
        ).walk():
            if isinstance(node.expression, exp.Table) and node.expression.name in names:
                sources.add((node.expression.name, node.name.rsplit(".", 1)[-1].strip('"')))
        found[column] = sorted(sources)
    return found
