"""Validates the expressions of metrics.

An expression aggregates the rows of one table. Only the functions and syntax listed below are allowed, so configuration can do
nothing else. `safe_sql.py` makes expressions safe on any row; `composition.py` puts them into statements.
"""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError

from radar_assets.lakehouse.engines.probe import Probe, ProbeError
from radar_assets.metrics.safe_sql import AGGREGATES, FIRST_DATE, LAST_DATE, Computation, make_safe
from radar_assets.metrics.sources import COLUMNS, COUNTED, FLAGS, JSON_COLUMNS, Source

_MAX_LENGTH = 2000
_MAX_DEPTH = 40
_TOO_DEEP = "expression nested too deeply; split it into several metrics"
# Decimals have 38 digits, so a sum of up to 10 billion values of this width can't overflow.
_MAX_DIGITS = 28

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
_ATOMS = (exp.Column, exp.Literal, exp.Boolean, exp.Null, exp.Paren)
_ALLOWED = frozenset((*AGGREGATES, *_SCALARS.values(), *_SYNTAX))
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
_PROBE = Probe({**COLUMNS}, JSON_COLUMNS)


class ExpressionError(ValueError):
    """An invalid expression.

    Attributes:
        line, column: position in the expression, starting at 1.
    """

    def __init__(self, text: str, offset: int, message: str) -> None:
        before = text[:offset]
        self.line = before.count("\n") + 1
        self.column = len(before) - before.rfind("\n")
        super().__init__(f"line {self.line}, column {self.column}: {message}")


def parse(text: str) -> exp.Expr:
    """Parse an expression. Casts become `try_cast`, which returns null on failure.

    Raises:
        ExpressionError: the text is not a single SQL expression.
    """
    if len(text) > _MAX_LENGTH:
        raise ExpressionError(text, _MAX_LENGTH, f"expression too long; the maximum is {_MAX_LENGTH} characters")
    try:
        tokens = sqlglot.tokenize(text, dialect="duckdb")
        tree = sqlglot.parse_one(text, dialect="duckdb", into=exp.Condition)
    except TokenError as error:
        raise ExpressionError(text, len(text), "unterminated quote; add the closing quote") from error
    except ParseError as error:
        raise ExpressionError(text, *_parse_error(text, error)) from error
    except RecursionError as error:
        raise ExpressionError(text, 0, _TOO_DEEP) from error
    except ValueError as error:
        raise ExpressionError(text, 0, f"invalid JSON path ({error})") from error
    for token in tokens:
        if token.comments:
            raise ExpressionError(text, token.start, "comments are not allowed; use the description of the metric")
        if token.text == ";":
            raise ExpressionError(text, token.start, "a metric is a single expression; remove the `;`")
    root = exp.Paren(this=tree)
    for cast in [cast for cast in root.find_all(exp.Cast) if not isinstance(cast, exp.TryCast)]:
        cast.replace(exp.TryCast(this=cast.this, to=cast.args["to"], safe=True))
    return root.this.pop()


def _parse_error(text: str, error: ParseError) -> tuple[int, str]:
    """Position and message of a parse error."""
    if not error.errors:
        return 0, "empty expression"
    found = error.errors[0]
    line_start = sum(len(line) + 1 for line in text.split("\n")[: found["line"] - 1])
    is_missing = found["description"].startswith("Required keyword")
    message = "incomplete expression" if is_missing else found["description"].split(" / ")[-1].lower()
    return line_start + found["col"] - len(found["highlight"]), message


def check(text: str, source: Source) -> None:
    """Check that an expression aggregates columns of its table, does nothing else, and returns a number.

    Raises:
        ExpressionError: it doesn't, or its types don't match.
    """
    tree = parse(text)
    for node in tree.walk():
        fault = _fault(text, node, source)
        if fault:
            raise ExpressionError(text, _offset(node), fault)
    if not tree.find(*AGGREGATES):
        raise ExpressionError(text, 0, "no aggregate function; use count(*), sum(...) or another one")
    for node in reversed(list(tree.walk())):  # inner nodes first, so that an error points at its cause
        is_part = isinstance(node, _ATOMS) or (isinstance(node, exp.If) and isinstance(node.parent, exp.Case))
        if isinstance(node, exp.Condition) and not is_part:
            try:
                fault = _unsound(node, source)
            except ProbeError as error:
                fault = str(error)
            if fault:
                raise ExpressionError(text, _offset(node), fault)
    made = make_safe(tree, "part", source, COLUMNS[source])
    kind = _type(made.value, _aggregated(made, source))
    if kind.split("(")[0] not in _NUMBERS:
        raise ExpressionError(text, 0, f"the expression returns {kind.lower()}; a metric must return a number")


def computation(text: str, source: Source, name: str, table: str) -> Computation:
    """How to compute an expression over people, so that no row makes it fail; see `safe_sql.make_safe`.

    An expression that names `is_bot` or `is_internal` decides itself which events to count.
    """
    tree = parse(text)
    named = {column.name.lower() for column in tree.find_all(exp.Column)}
    of_people = [flag for column, flag in FLAGS.items() if column not in named]
    of_events = of_people if len(of_people) < len(FLAGS) else [COUNTED]

    def counted(aggregate: exp.Expr) -> Sequence[str]:
        if source == "events":
            return of_events
        # Rows of further users of a session only count as visitors.
        values = aggregate.this
        is_of_visitors = isinstance(values, exp.Distinct) and values.expressions[0].name.lower() == "visitor"
        return [] if is_of_visitors else [COUNTED]

    return make_safe(tree, name, table, COLUMNS[source], counted=counted)


@cache
def over_nothing(text: str, source: Source) -> float | None:
    """The value of an expression over no rows: 0 for counts and sums, None for ratios and averages."""
    made = make_safe(parse(text), "part", source, COLUMNS[source])
    nothing = _aggregated(made, f"(from {source} where false) as {source}")
    return _PROBE.value_of(f"cast({_sql(made.value)} as double)", nothing)


def _aggregated(made: Computation, relation: str) -> str:
    """A relation with one row: the aggregates that the value of an expression is computed from."""
    columns = ", ".join(f'{_sql(aggregate)} as "{name}"' for name, aggregate in made.aggregates.items())
    return f"(select '' as project_id, {columns} from {relation})"


def _offset(node: exp.Expr) -> int:
    """Position of a node in the text. Only names, literals and functions have one; others take that of their parts or parent."""
    starts = [part.meta["start"] for part in node.walk() if "start" in part.meta]
    if starts or node.parent is None:
        return min(starts, default=0)
    return _offset(node.parent)


def _fault(text: str, node: exp.Expr, source: Source) -> str | None:
    """Why a node is invalid, or None."""
    if node.depth > _MAX_DEPTH:
        return _TOO_DEEP
    if type(node) not in _ALLOWED or (isinstance(node, exp.Anonymous) and node.name.lower() != "date_part"):
        return _refusal(text, node)
    if isinstance(node, AGGREGATES):
        if node.find_ancestor(*AGGREGATES, exp.Where):
            return "aggregate functions can't be nested or used in a filter"
        if not node.this or node.args.get("expressions") or node.args.get("count"):
            return "aggregate functions take one argument; quantiles also take a fraction, e.g. 0.95"
    match node:
        case exp.Column() if len(node.parts) > 1 or not isinstance(node.this, exp.Identifier):
            return f"invalid column {_sql(node)}; use the column name alone"
        case exp.Column() if node.name.lower() not in COLUMNS[source]:
            close = get_close_matches(node.name, COLUMNS[source], n=1)
            return f"unknown column {node.name} in {source}" + (f"; did you mean {close[0]}?" if close else "")
        case exp.Column() if not node.find_ancestor(*AGGREGATES, exp.Where):
            return f"column {node.name} must be inside an aggregate function, e.g. max({node.name})"
        case exp.Star() if not isinstance(node.parent, exp.Count) or any(node.args.values()):
            return "* is only allowed in count(*)"
        case exp.Distinct() if not isinstance(node.parent, AGGREGATES) or len(node.expressions) != 1:
            return "distinct takes one column or expression, inside an aggregate function"
        case exp.Filter() if not isinstance(node.this, AGGREGATES):
            return "filter (where ...) must follow an aggregate function"
        case exp.DataType() if node.this not in _TYPES.values() or any(int(n.name) > 18 for n in node.expressions):
            return f"unsupported cast to {_sql(node).lower()}; use {', '.join(_TYPES)}"
        case exp.In() if not node.expressions and not node.args.get("query"):
            return "in takes a list of values, e.g. in ('a', 'b')"
        case exp.JSONExtractScalar() if not isinstance(node.this, exp.Column) or node.this.name not in JSON_COLUMNS:
            return f"JSON can be extracted from {' and '.join(JSON_COLUMNS)} only"
        case exp.JSONExtractScalar() if not isinstance(node.expression, exp.JSONPath | exp.Literal):
            return "a JSON path must be a literal, e.g. '$.price'"
        case exp.Like() | exp.ILike():
            return _pattern_fault(node)
        case exp.Escape() if not _is_text(node.expression) or len(node.expression.name) != 1:
            return "escape takes one character, e.g. '!'"
        case exp.Extract() if not isinstance(node.this, exp.Var):
            return "extract takes a unit without quotes, e.g. extract(hour from event_time)"
        case exp.TimestampTrunc() | exp.DateDiff() if not isinstance(node.args.get("unit"), exp.Var):
            return "the unit must be a literal, e.g. 'hour'"
        case exp.Anonymous() if not any(map(_is_unit, node.expressions[:1])):
            return f"date_part takes a unit and a time; use one of {', '.join(_UNITS)}"
        case exp.Var() if not _is_unit(node):
            return f"unknown unit {node.name.lower()}; use one of {', '.join(_UNITS)}"
    return None


def _pattern_fault(node: exp.Expr) -> str | None:
    """Why matching a pattern could take more than linear time, or None.

    With `_` or `escape`, DuckDB backtracks over every `%`, which takes hours on a text of 32 kB and can't be interrupted. Other
    patterns are matched from left to right.
    """
    if not _is_text(node.expression):
        return "a pattern must be a literal, e.g. '/shop/%'; otherwise use starts_with, ends_with or contains"
    pattern, escape = node.expression.name, ""
    if isinstance(node.parent, exp.Escape):
        escape = node.parent.expression.name
        pattern = re.sub(f"{re.escape(escape)}([^{re.escape(escape)}])", "x", pattern.replace(escape * 2, "x"))
        if pattern.endswith(escape):
            return "the pattern ends with its escape character"
    if ("_" in pattern or escape) and len(re.findall("%+(?=[^%])", pattern)) > 1:
        return (
            "a pattern with _ or escape can have one %, and another one at its end;"
            " use several conditions, e.g. contains(path, 'a') and contains(path, 'b')"
        )
    return None


def _refusal(text: str, node: exp.Expr) -> str:
    """The message for a node that is not allowed."""
    if isinstance(node, exp.JSONPathPart):
        return "a JSON path has keys and indexes only, e.g. '$.items[0].price'"
    if node.find(exp.Query, exp.Table):
        return "subqueries are not allowed; aggregate the columns of the source table"
    if isinstance(node, exp.Window):
        return "window functions are not allowed; use an aggregate function without over, e.g. sum(revenue)"
    if isinstance(node, exp.Func) and not isinstance(node, exp.Binary):
        written = text[node.meta["start"] : node.meta["end"] + 1] if "start" in node.meta else node.sql_name()
        return f"unsupported function {written.lower()}(); use one of {', '.join(_FUNCTIONS)}"
    return f"unsupported syntax: {_sql(node)}"


def _sql(node: exp.Expr) -> str:
    return node.sql(dialect="duckdb", comments=False)


def _is_text(node: exp.Expr) -> bool:
    return isinstance(node, exp.Literal) and node.is_string


def _is_unit(node: exp.Expr) -> bool:
    return isinstance(node, exp.Literal | exp.Var) and node.name.lower() in _UNITS


def _unsound(node: exp.Expr, source: Source) -> str | None:
    """Why a node could fail on some rows or differ between runs, or None.

    Raises:
        ProbeError: it always fails.
    """
    kind = _type(node, source)
    if isinstance(node, exp.TryCast) and isinstance(node.this, exp.Literal):
        cast = _sql(exp.Cast(this=node.this.copy(), to=node.args["to"].copy()))
        is_time = kind in ("DATE", "TIMESTAMP")
        test = f"{cast} between '{FIRST_DATE}' and '{LAST_DATE}'" if is_time else cast
        if _PROBE.value_of(test) is False and is_time:
            return f"dates and times must be between {FIRST_DATE} and {LAST_DATE}"
    if isinstance(node, exp.Extract | exp.Anonymous):
        part, whole = node.iter_expressions() if isinstance(node, exp.Extract) else node.expressions
        if _type(whole, source) == "INTERVAL":
            _PROBE.value_of(f"date_part('{part.name}', interval 1 day)")
    if not isinstance(node, AGGREGATES):
        return None
    if kind == "VARCHAR":
        return "this aggregate function returns text; a metric must return a number"
    if isinstance(node.parent, exp.Filter) and _type(node.parent.expression.this, source) != "BOOLEAN":
        return "the filter condition must be boolean"
    # DuckDB casts dates to timestamps inside these functions, and computed dates may be out of range.
    is_between_values = isinstance(node, exp.Avg | exp.Median | exp.PercentileCont)
    if is_between_values and node.this.find(exp.Add, exp.Sub) and _type(node.this, source) == "DATE":
        return "computed dates can't be averaged; use date_diff to average a number of days"
    if not isinstance(node, exp.Sum | exp.Avg):
        return None
    summed = _type(node.this.expressions[0] if isinstance(node.this, exp.Distinct) else node.this, source)
    if summed in ("DOUBLE", "FLOAT"):
        return "sums of doubles depend on the order of rows; cast the argument, e.g. to decimal(18, 4)"
    if summed == "HUGEINT" or (summed.startswith("DECIMAL") and int(summed[8:].split(",")[0]) > _MAX_DIGITS):
        return f"a sum of {summed.lower()} may overflow; cast the argument, e.g. to decimal(18, 4)"
    return None


def _type(node: exp.Expr, relation: str) -> str:
    """The type of an expression over a relation.

    Raises:
        ProbeError: as `Probe.type_of`.
    """
    return _PROBE.type_of(_sql(node), relation)
