"""The fallback of statements that compute several parts at once, such as all metrics of an hour.

If the statement fails, each part is computed alone, and parts that fail again are omitted.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from radar_assets.lakehouse.engines.limits import StatementTimeoutError, is_error_of_statement, short_reason
from radar_assets.lakehouse.omissions import Omission
from radar_assets.lakehouse.sql import SqlModel
from radar_assets.windows import Window

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")

OmissionsByWindow = Mapping[Window, frozenset[Omission]]


class Part(Protocol):
    """One of the parts that a statement computes, such as a metric."""

    @property
    def name(self) -> str:
        """The name in omissions."""
        ...

    @property
    def definition(self) -> str:
        """Digest of everything its values depend on."""
        ...


@dataclass(frozen=True)
class Composite:
    """A model that computes several parts.

    Attributes:
        compose: returns the model of some of the parts. All models have the same columns.
        required: parts that are never omitted. If they fail, the statement fails.
        optional: parts that are omitted from windows in which they fail.
    """

    compose: Callable[[Sequence[Any]], SqlModel]
    required: Sequence[Part]
    optional: Sequence[Part] = ()

    @property
    def model(self) -> SqlModel:
        """The model of all parts."""
        return self.compose([*self.required, *self.optional])

    def without(self, definitions: Collection[str]) -> "Composite":
        """A copy without the optional parts that have these definitions."""
        return replace(self, optional=[part for part in self.optional if part.definition not in definitions])


class Query(Protocol):
    """Runs a model over windows; `is_limited` says whether it has a time limit."""

    def __call__(self, model: SqlModel, windows: Sequence[Window], /, *, is_limited: bool) -> "pa.Table":
        """Return the model's rows."""
        ...


def with_fallback(
    composite: Composite,
    windows: Sequence[Window],
    joint: Callable[[], T],
    query: Query,
    collect: "Callable[[pa.Table], T]",
) -> tuple[T, OmissionsByWindow]:
    """Compute all parts at once. If the statement causes an error, compute each part alone and omit those that fail.

    Args:
        windows: the partitions; each can omit a part.
        joint: computes all parts at once.
        query: computes some parts.
        collect: turns the rows of all parts into a result like that of `joint`.

    Raises:
        Exception: the error of `joint`, if the statement did not cause it or the required parts fail too.
    """
    try:
        return joint(), {}
    except Exception as error:
        if not (composite.optional and is_error_of_statement(error)):
            raise
        try:
            tables = [query(composite.compose(composite.required), windows, is_limited=False)]
        except Exception as again:
            raise error from again
    import pyarrow as pa

    omissions: dict[Window, frozenset[Omission]] = {}
    for part in composite.optional:
        tables += _alone(composite, part, windows, query, omissions)
    return collect(pa.concat_tables(tables)), omissions


def _alone(
    composite: Composite,
    part: Part,
    windows: Sequence[Window],
    query: Query,
    omissions: dict[Window, frozenset[Omission]],
) -> "list[pa.Table]":
    """The rows of a part where it can be computed. Elsewhere it is added to the omissions."""
    try:
        return [query(composite.compose([part]), windows, is_limited=True)]
    except Exception as error:
        if not is_error_of_statement(error):
            raise
        # After a timeout, each half would take as long again.
        if len(windows) == 1 or isinstance(error, StatementTimeoutError):
            omission = frozenset({Omission(part.name, part.definition, short_reason(error))})
            omissions |= {window: omissions.get(window, frozenset()) | omission for window in windows}
            return []
    half = len(windows) // 2
    first = _alone(composite, part, windows[:half], query, omissions)
    return first + _alone(composite, part, windows[half:], query, omissions)
