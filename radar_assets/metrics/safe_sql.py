"""Rewrites the expression of a metric so that no row makes it fail.

A value that can't be computed becomes null: text that is not a number, an overflow, a division by 0, a time out of range.
`expressions.py` decides which expressions are valid.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

AGGREGATES = (exp.Count, exp.Sum, exp.Avg, exp.Min, exp.Max, exp.Median, exp.PercentileCont, exp.PercentileDisc)
FIRST_DATE, LAST_DATE = "1677-09-22", "2262-04-11"
"""Bounds of dates and times that are parsed from text. DuckDB has dates that overflow when it casts them to timestamps implicitly.
These bounds fit into 64 bits of nanoseconds, so every engine supports them."""

_LOGIC = (exp.And, exp.Or, exp.Not)
_COMPARISONS = (
    *(exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ),
    *(exp.In, exp.Between, exp.Like, exp.ILike),
)
_SEARCHES = (exp.StartsWith, exp.EndsWith, exp.Contains)
_CONDITIONS = (*_LOGIC, *_COMPARISONS, *_SEARCHES, exp.Is, exp.Escape, exp.Boolean)
_TEXT = (exp.Lower, exp.Upper, exp.Trim, exp.DPipe, exp.JSONExtractScalar)
# These fail only if operands are cast implicitly, which doesn't happen when all have the same type.
_CASTING = (*_LOGIC, *_COMPARISONS, exp.Coalesce, exp.Nullif, exp.Greatest, exp.Least)
# These never fail. Division is always on doubles.
_TOTAL = (
    *(exp.Column, exp.Literal, exp.Boolean, exp.Null, exp.Paren, exp.Div),
    *(exp.Lower, exp.Upper, exp.Trim, exp.DPipe, exp.Length, *_SEARCHES),
)
_TYPES = {
    exp.DType.BOOLEAN: "boolean",
    exp.DType.TEXT: "string",
    exp.DType.DATE: "date",
    exp.DType.TIMESTAMPNTZ: "timestamp",
}
_TIMES = ("date", "timestamp")
_NEVER_NULL = "project_id"
"""A column without nulls that every relation has."""


def _all(_: exp.Expr) -> Sequence[str]:
    return ()


@dataclass(frozen=True)
class Computation:
    """A safe expression, in two steps, because DuckDB doesn't allow aggregates inside `try`.

    Attributes:
        aggregates: aggregates over the rows, by the column that holds the result.
        value: the expression over those columns.
    """

    aggregates: dict[str, exp.Expr]
    value: exp.Expr


def make_safe(
    tree: exp.Expr,
    name: str,
    table: str,
    types: Mapping[str, str],
    *,
    counted: Callable[[exp.Expr], Sequence[str]] = _all,
) -> Computation:
    """Make an expression safe. A sum over no rows is 0, like a count.

    Args:
        tree: the expression, with `try_cast` for each cast. It is modified.
        name: prefix of the column names.
        table: name of the relation in the statement.
        types: types of the relation's columns.
        counted: returns the boolean columns that are true in the rows that an aggregate counts.
    """
    root = exp.Paren(this=tree)
    aggregates: dict[str, exp.Expr] = {}
    for node in list(root.find_all(*AGGREGATES)):
        whole = node.parent if isinstance(node.parent, exp.Filter) else node
        column = f"{name}_{len(aggregates) + 1}"
        whole.replace(exp.column(column, quoted=True))
        aggregates[column] = _aggregate(node, whole, table, types, counted(node))
    _widen(root)
    return Computation(aggregates, _protect(root, {}))


def _aggregate(
    node: exp.Expr, whole: exp.Expr, table: str, types: Mapping[str, str], counted: Sequence[str]
) -> exp.Expr:
    """An aggregate with a safe argument and, if it has one, a safe filter."""
    for column in list(whole.find_all(exp.Column)):
        column.replace(exp.column(column.name.lower(), table=table, quoted=True))
    values = node.this.expressions[0] if isinstance(node.this, exp.Distinct) else node.this
    if not isinstance(values, exp.Star):
        _protect(_wrap(values, exp.Paren()), types, table)
    conditions: list[exp.Expr] = [exp.column(name, table=table, quoted=True) for name in counted]
    if whole is not node:
        conditions.append(_protect(exp.Paren(this=whole.expression.this), types, table))
    aggregate = exp.Filter(this=node, expression=exp.Where(this=exp.and_(*conditions))) if conditions else node
    if isinstance(node, exp.Sum):
        return exp.Coalesce(this=aggregate, expressions=[exp.Literal.number(0)])
    return aggregate


def _widen(root: exp.Expr) -> None:
    """Multiply aggregates as doubles, since the product of two decimals can exceed 38 digits."""
    for product in list(root.find_all(exp.Mul)):
        for operand in (product.this, product.expression):
            if operand.find(exp.Column):
                _wrap(operand, exp.Cast(to=exp.DataType.build("double")))


def _protect(root: exp.Expr, types: Mapping[str, str], table: str | None = None) -> exp.Expr:
    """Make everything inside parentheses return null instead of failing; returns the replacement of the parentheses."""
    nodes = [node for node in root.this.walk() if isinstance(node, exp.Condition)]
    failing = {id(node) for node in nodes if _can_fail(node, types)}
    parsed = {id(node) for node in nodes if _is_parsed_time(node, types)}
    for node in reversed(nodes):  # inner nodes first
        if isinstance(node, exp.Div):
            _wrap(node.expression, exp.Nullif(expression=exp.Literal.number(0)))
        protected = _wrap(_ignoring_case(node), exp.Try()) if id(node) in failing else _ignoring_case(node)
        if id(node) in parsed:
            _bound(protected)
    if not failing:
        return root
    # DuckDB computes common subexpressions once, outside `try`, but never extracts them from a `case`.
    always = exp.column(_NEVER_NULL, table=table, quoted=True).is_(exp.null()).not_()
    shielded = exp.Case(ifs=[exp.If(this=always, true=root.copy())])
    root.replace(shielded)
    return shielded


def _ignoring_case(node: exp.Expr) -> exp.Expr:
    """Replace `ilike` with `like` over lower case, since DuckDB's matcher for `ilike` doesn't take linear time."""
    if not isinstance(node, exp.ILike) or isinstance(node.parent, exp.Escape):
        return node
    like = exp.Like(
        this=exp.Lower(this=node.this), expression=exp.Lower(this=node.expression), negate=node.args.get("negate")
    )
    node.replace(like)
    return like


def _bound(time: exp.Expr) -> None:
    """Turn a time that is out of range into null."""
    bounds = {"low": exp.Literal.string(FIRST_DATE), "high": exp.Literal.string(LAST_DATE)}
    within = exp.Between(this=time.copy(), **bounds)
    time.replace(exp.Case(ifs=[exp.If(this=within, true=time.copy())]))


def _wrap(node: exp.Expr, wrapper: exp.Expr) -> exp.Expr:
    """Replace a node with a wrapper around it."""
    node.replace(wrapper)
    wrapper.set("this", node)
    return wrapper


def _can_fail(node: exp.Expr, types: Mapping[str, str]) -> bool:
    """Whether a node itself could fail on some row, inner nodes aside."""
    if isinstance(node, _CASTING) and not isinstance(node.parent, exp.Escape):
        operands = {_type(operand, types) for operand in node.iter_expressions()}
        return len(operands) > 1 or None in operands or (isinstance(node, _LOGIC) and operands != {"boolean"})
    match node:
        case exp.Is():
            return not isinstance(node.expression, exp.Null)
        case exp.Neg():
            return not isinstance(node.this, exp.Literal)
        case exp.TryCast():
            return True
        case exp.If() | exp.Like() | exp.ILike() | exp.Cast():  # parts of a `case` and of an `escape`, casts to double
            return False
    return not isinstance(node, _TOTAL)


def _is_parsed_time(node: exp.Expr, types: Mapping[str, str]) -> bool:
    return isinstance(node, exp.TryCast) and _type(node, types) in _TIMES and _type(node.this, types) not in _TIMES


def _type(node: exp.Expr, types: Mapping[str, str]) -> str | None:
    """The type of a node if it is evident from the syntax, else None."""
    match node:
        case exp.Paren():
            return _type(node.this, types)
        case exp.Column():
            return types.get(node.name.lower())
        case exp.Literal():
            return "string" if node.is_string else None
        case exp.TryCast():
            return _TYPES.get(node.args["to"].this)
    if isinstance(node, _TEXT):
        return "string"
    return "boolean" if isinstance(node, _CONDITIONS) else None
