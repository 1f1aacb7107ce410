"""What the expression of a metric may be, and how it gives the same number in any order of rows and fails on none.

An expression is an aggregate over the rows of one table. Whatever is not on the lists below is refused, so that
configuration can do nothing else. Putting expressions together into statements belongs to the registry.
"""

from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError

from radar_assets.events.tables import EVENTS, SESSIONS
from radar_assets.metrics.registry import Source

if TYPE_CHECKING:
    import duckdb

COLUMNS: dict[Source, dict[str, str]] = {
    "events": {column.name: column.type for column in EVENTS.columns} | {"visitor": "string", "event_name": "string"},
    # A duration is a whole number of microseconds; as a decimal it adds up to the same in any order.
    "sessions": {column.name: column.type for column in SESSIONS.columns}
    | {"visitor": "string", "duration_s": "decimal(18, 6)"},
}
"""Columns that expressions may use, by table, with their types; the SQL adds `visitor` and `event_name`."""

_MAX_LENGTH = 2000
_MAX_DEPTH = 40
# Decimals have 38 digits; a sum of wider ones than this could overflow within 10 thousand million rows.
_MAX_DIGITS = 28

_JSON_COLUMNS = ("properties", "context")
_AGGREGATES = (exp.Count, exp.Sum, exp.Avg, exp.Min, exp.Max, exp.Median, exp.PercentileCont, exp.PercentileDisc)
_OVERFLOWING = (exp.Add, exp.Sub, exp.Mul, exp.Neg, exp.Abs)
_SCALARS = {
    # text
    "lower": exp.Lower,
    "upper": exp.Upper,
    "trim": exp.Trim,
    "length": exp.Length,
    "starts_with": exp.StartsWith,
    "ends_with": exp.EndsWith,
    "contains": exp.Contains,
    "json_extract_string": exp.JSONExtractScalar,
    # numbers
    "abs": exp.Abs,
    "round": exp.Round,
    "floor": exp.Floor,
    "ceil": exp.Ceil,
    # times
    "extract": exp.Extract,
    "date_part": exp.Anonymous,
    "date_trunc": exp.TimestampTrunc,
    "date_diff": exp.DateDiff,
    # anything
    "cast": exp.Cast,
    "try_cast": exp.TryCast,
    "coalesce": exp.Coalesce,
    "nullif": exp.Nullif,
    "greatest": exp.Greatest,
    "least": exp.Least,
}
_SYNTAX = (
    *(exp.Column, exp.Identifier, exp.Literal, exp.Boolean, exp.Null, exp.Star, exp.Paren),
    *(exp.Filter, exp.Where, exp.Distinct, exp.Case, exp.If),
    *(exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.Neg, exp.DPipe),
    *(exp.And, exp.Or, exp.Not, exp.Is, exp.In, exp.Between, exp.Like, exp.ILike, exp.Escape),
    *(exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ),
    *(exp.DataType, exp.DataTypeParam, exp.Var),
    *(exp.JSONPath, exp.JSONPathRoot, exp.JSONPathKey, exp.JSONPathSubscript),
)
_ALLOWED = frozenset((*_AGGREGATES, *_SCALARS.values(), *_SYNTAX))
_TYPES = {
    "boolean": exp.DType.BOOLEAN,
    "integer": exp.DType.INT,
    "bigint": exp.DType.BIGINT,
    "decimal of up to 18 digits": exp.DType.DECIMAL,
    "varchar": exp.DType.TEXT,
    "date": exp.DType.DATE,
    "timestamp": exp.DType.TIMESTAMPNTZ,
}
_UNITS = ("microsecond", "second", "minute", "hour", "day", "dow", "isodow", "doy", "week", "month", "quarter", "year")
_FUNCTIONS = ("count", "sum", "avg", "min", "max", "median", "quantile_cont", "quantile_disc", *_SCALARS)
_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "DECIMAL", "DOUBLE")


class ExpressionError(ValueError):
    """An expression that is refused.

    Attributes:
        line, column: where in the expression, from 1.
    """

    def __init__(self, text: str, offset: int, message: str) -> None:
        before = text[:offset]
        self.line = before.count("\n") + 1
        self.column = len(before) - before.rfind("\n")
        super().__init__(f"line {self.line}, column {self.column}: {message}")


def parse(text: str) -> exp.Expr:
    """The syntax tree of an expression, in which a cast that fails gives null.

    Raises:
        ExpressionError: it is not one SQL expression.
    """
    if len(text) > _MAX_LENGTH:
        raise ExpressionError(text, _MAX_LENGTH, f"an expression has at most {_MAX_LENGTH} characters")
    try:
        tokens = sqlglot.tokenize(text, dialect="duckdb")
        tree = sqlglot.parse_one(text, dialect="duckdb", into=exp.Condition)
    except TokenError as error:
        raise ExpressionError(text, len(text), "a quotation is not closed") from error
    except ParseError as error:
        raise ExpressionError(text, *_parse_error(text, error)) from error
    except RecursionError as error:
        raise ExpressionError(text, 0, "the expression is nested too deeply") from error
    except ValueError as error:
        raise ExpressionError(text, 0, f"a JSON path is not understood ({error})") from error
    for token in tokens:
        if token.comments:
            raise ExpressionError(text, token.start, "there are no comments in an expression")
        if token.text == ";":
            raise ExpressionError(text, token.start, "a metric is one expression, without `;`")
    root = exp.Paren(this=tree)
    for cast in [cast for cast in root.find_all(exp.Cast) if not isinstance(cast, exp.TryCast)]:
        cast.replace(exp.TryCast(this=cast.this, to=cast.args["to"], safe=True))
    return root.this.pop()


def _parse_error(text: str, error: ParseError) -> tuple[int, str]:
    """Where the parser stopped, and why."""
    if not error.errors:
        return 0, "the expression is empty"
    found = error.errors[0]
    line_start = sum(len(line) + 1 for line in text.split("\n")[: found["line"] - 1])
    is_missing = found["description"].startswith("Required keyword")
    message = "something is missing here" if is_missing else found["description"].split(" / ")[-1].lower()
    return line_start + found["col"] - len(found["highlight"]), message


def check(text: str, source: Source) -> None:
    """Make sure that an expression aggregates over columns of its table and does nothing else.

    Raises:
        ExpressionError: it doesn't, or its types don't fit.
    """
    import duckdb

    tree = parse(text)
    for node in tree.walk():
        fault = _fault(text, node, source)
        if fault:
            raise ExpressionError(text, _offset(node), fault)
    if not tree.find(*_AGGREGATES):
        raise ExpressionError(text, 0, "nothing is aggregated; write `count(*)`, `sum(...)` or the like")
    for node in reversed(list(tree.walk())):  # what is inside comes first, so that an error is put where it arises
        if isinstance(node, exp.Condition) and not (isinstance(node, exp.If) and isinstance(node.parent, exp.Case)):
            try:
                fault = _unsound(node, source)
            except duckdb.Error as error:
                fault = str(error).split("\n")[0].split(": ", 1)[-1]
            if fault:
                raise ExpressionError(text, _offset(node), fault)
    kind = _type(aggregate(text, source), source)
    if kind.split("(")[0] not in _NUMBERS:
        raise ExpressionError(text, 0, f"this gives a {kind.lower()}, and a metric is a number")


def aggregate(text: str, table: str, *, present: str | None = None) -> exp.Expr:
    """The aggregate to compute for an expression.

    No event may fail the run of all others, so what can't be computed (text that is no number, an overflow, a division
    by 0) is null. The sum of nothing is 0, as the count of nothing is.

    Args:
        table: name that the relation has in the statement.
        present: a column that is null in rows that no aggregate is to see.
    """
    root = exp.Paren(this=parse(text))
    for node in reversed(list(root.walk())):  # what is inside comes first
        if isinstance(node, exp.Column):
            node.replace(exp.column(node.name.lower(), table=table, quoted=True))
        elif isinstance(node, exp.Div):
            _wrap(node.expression, exp.Nullif(expression=exp.Literal.number(0)))
        elif isinstance(node, _OVERFLOWING):
            _guard(node)
        elif isinstance(node, _AGGREGATES):
            whole = node.parent if isinstance(node.parent, exp.Filter) else node
            if present:
                whole = _restrict(whole, exp.column(present, table=table, quoted=True).is_(exp.null()).not_())
            if isinstance(node, exp.Sum):
                _wrap(whole, exp.Coalesce(expressions=[exp.Literal.number(0)]))
    return root.this.pop()


@cache
def over_nothing(text: str, source: Source) -> float | None:
    """What an expression gives over no rows: 0 where it counts or sums, None where it is a ratio or an average."""
    value = aggregate(text, source)
    found = _relations().cursor().execute(f"select cast({_sql(value)} as double) from {source} where false").fetchone()
    return found[0] if found else None


def _guard(operation: exp.Expr) -> None:
    """Have an operation on numbers give null where the result doesn't fit.

    Each has a `try` of its own: DuckDB computes what several expressions have in common once, outside of theirs.
    """
    if not operation.find(*_AGGREGATES):
        _wrap(operation, exp.Try())
    elif isinstance(operation, exp.Mul):
        # A `try` takes no aggregates. Both may need all the digits that there are, doubles always fit.
        for operand in (operation.this, operation.expression):
            if operand.find(*_AGGREGATES):
                _wrap(operand, exp.Cast(to=exp.DataType.build("double")))


def _restrict(aggregate: exp.Expr, condition: exp.Expr) -> exp.Expr:
    """Have an aggregate, which may have a filter already, see only rows that meet a condition."""
    if not isinstance(aggregate, exp.Filter):
        return _wrap(aggregate, exp.Filter(expression=exp.Where(this=condition)))
    aggregate.expression.set("this", exp.and_(condition, aggregate.expression.this))
    return aggregate


def _wrap(node: exp.Expr, wrapper: exp.Expr) -> exp.Expr:
    """Put a node into a wrapper that takes its place."""
    node.replace(wrapper)
    wrapper.set("this", node)
    return wrapper


def _offset(node: exp.Expr) -> int:
    """Where a node starts in the text; only names, literals and functions know it themselves."""
    starts = [part.meta["start"] for part in node.walk() if "start" in part.meta]
    if starts or node.parent is None:
        return min(starts, default=0)
    return _offset(node.parent)


def _fault(text: str, node: exp.Expr, source: Source) -> str | None:
    """What is wrong with a node of an expression, if anything."""
    if node.depth > _MAX_DEPTH:
        return "the expression is nested too deeply"
    if type(node) not in _ALLOWED or (isinstance(node, exp.Anonymous) and node.name.lower() != "date_part"):
        return _refusal(text, node)
    if isinstance(node, _AGGREGATES):
        if node.find_ancestor(*_AGGREGATES, exp.Where):
            return "an aggregate can't stand within another, nor in its filter"
        if not node.this or node.args.get("expressions") or node.args.get("count"):
            return "an aggregate takes one argument, and a quantile its share, such as 0.95"
    match node:
        case exp.Column() if len(node.parts) > 1 or not isinstance(node.this, exp.Identifier):
            return f"{_sql(node)} is no column; write its name alone"
        case exp.Column() if node.name.lower() not in COLUMNS[source]:
            close = get_close_matches(node.name, COLUMNS[source], n=1)
            return f"{source} have no column {node.name}" + (f"; do you mean {close[0]}?" if close else "")
        case exp.Column() if not node.find_ancestor(*_AGGREGATES, exp.Where):
            return f"{node.name} stands outside of an aggregate, such as max({node.name})"
        case exp.Star() if not isinstance(node.parent, exp.Count) or any(node.args.values()):
            return "* stands in count(*) only"
        case exp.Distinct() if not isinstance(node.parent, _AGGREGATES) or len(node.expressions) != 1:
            return "distinct takes one column or expression, inside an aggregate"
        case exp.Filter() if not isinstance(node.this, _AGGREGATES):
            return "filter follows an aggregate"
        case exp.DataType() if node.this not in _TYPES.values() or any(int(n.name) > 18 for n in node.expressions):
            return f"there is no cast to {_sql(node).lower()}; there are {', '.join(_TYPES)}"
        case exp.In() if not node.expressions and not node.args.get("query"):
            return "in takes a list of values, such as in ('a', 'b')"
        case exp.JSONExtractScalar() if not isinstance(node.this, exp.Column) or node.this.name not in _JSON_COLUMNS:
            return f"JSON is in the columns {' and '.join(_JSON_COLUMNS)} only"
        case exp.JSONExtractScalar() if not isinstance(node.expression, exp.JSONPath | exp.Literal):
            return "a path is written out, such as '$.price'"
        case exp.Extract() if not isinstance(node.this, exp.Var):
            return "extract takes a unit without quotes, such as extract(hour from event_time)"
        case exp.TimestampTrunc() | exp.DateDiff() if not isinstance(node.args.get("unit"), exp.Var):
            return "the unit is written out, such as 'hour'"
        case exp.Anonymous() if not any(map(_is_unit, node.expressions[:1])):
            return f"date_part takes a unit; there are {', '.join(_UNITS)}"
        case exp.Var() if not _is_unit(node):
            return f"there is no unit {node.name.lower()}; there are {', '.join(_UNITS)}"
    return None


def _refusal(text: str, node: exp.Expr) -> str:
    """Why there is no such thing in an expression."""
    if isinstance(node, exp.JSONPathPart):
        return "a path consists of keys and places, such as '$.items[0].price'"
    if node.find(exp.Query, exp.Table):
        return "there are no subqueries; a metric sees the rows of its own table only"
    if isinstance(node, exp.Window):
        return "there are no window functions; a metric is one number for a project and an hour or day"
    if isinstance(node, exp.Func) and not isinstance(node, exp.Binary):
        written = text[node.meta["start"] : node.meta["end"] + 1] if "start" in node.meta else node.sql_name()
        return f"there is no {written.lower()}() in metrics; there are {', '.join(_FUNCTIONS)}"
    return f"there is no {_sql(node)} in metrics"


def _sql(node: exp.Expr) -> str:
    return node.sql(dialect="duckdb", comments=False)


def _is_unit(node: exp.Expr) -> bool:
    return isinstance(node, exp.Literal | exp.Var) and node.name.lower() in _UNITS


def _unsound(node: exp.Expr, source: Source) -> str | None:
    """Why a node might fail on some rows or differ from run to run, if it might.

    Raises:
        duckdb.Error: it fails for certain.
    """
    kind = _type(node, source)
    if isinstance(node, exp.TryCast) and isinstance(node.this, exp.Literal):
        _relations().cursor().execute(f"select {_sql(exp.Cast(this=node.this.copy(), to=node.args['to'].copy()))}")
    if not isinstance(node, _AGGREGATES):
        return None
    if kind == "VARCHAR":
        return "an aggregate that gives text is of no use in a metric, which is a number"
    if isinstance(node.parent, exp.Filter) and _type(node.parent.expression.this, source) != "BOOLEAN":
        return "the filter's condition is neither true nor false"
    if not isinstance(node, exp.Sum | exp.Avg):
        return None
    summed = _type(node.this.expressions[0] if isinstance(node.this, exp.Distinct) else node.this, source)
    if summed in ("DOUBLE", "FLOAT"):
        return "a sum of doubles depends on the order of the rows; cast what is summed, such as to decimal(18, 4)"
    if summed == "HUGEINT" or (summed.startswith("DECIMAL") and int(summed[8:].split(",")[0]) > _MAX_DIGITS):
        return f"a sum of {summed.lower()} may overflow; cast what is summed, such as to decimal(18, 4)"
    return None


def _type(node: exp.Expr, source: Source) -> str:
    """DuckDB's type of an expression over its table.

    Raises:
        duckdb.Error: there is none, or it takes text for something else without a cast.
    """
    cursor = _relations().cursor().execute(f"select {_sql(node)} from {source}")
    cursor.fetchall()
    assert cursor.description is not None
    return str(cursor.description[0][1])


@cache
def _relations() -> "duckdb.DuckDBPyConnection":
    """A database that has the tables, and can reach nothing else.

    Each has a row that is all null and one whose texts can't be taken for anything else.
    """
    import duckdb

    samples = {"string": "'?'", "boolean": "false", "timestamp": "timestamp '2026-01-01'"}
    connection = duckdb.connect(config={"enable_external_access": False, "threads": 1})
    for source, columns in COLUMNS.items():
        row = ", ".join(f"""cast({samples.get(kind, 1)} as {kind}) as "{name}" """ for name, kind in columns.items())
        connection.execute(f"create table {source} as select {row}")
        connection.execute(f"insert into {source} (project_id) values (null)")
    for column in _JSON_COLUMNS:
        connection.execute(f"update events set {column} = '{{}}' where {column} is not null")
    connection.execute("set lock_configuration = true")
    return connection
