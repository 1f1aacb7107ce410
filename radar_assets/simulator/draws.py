"""Random draws as hashes of keys, so that they are the same in any order, batch size and on any machine.

Only integers and exactly rounded arithmetic belong here: numpy's generators may change between versions, and its `exp` and `log`
differ between processors.
"""

import hashlib
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_TABLE_BITS = 12


def _mix(values: Keys) -> Keys:
    """The finalizer of SplitMix64: every bit of the input changes half the bits of the output."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


@cache
def seed_of(*parts: object) -> int:
    """A 64-bit seed from objects with a stable repr."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "big")


def keys(seed: int, numbers: NDArray[np.int64]) -> Keys:
    """A key for each number."""
    return _mix(np.uint64(seed) + numbers.astype(np.uint64) * _STEP)


def draw(of: Keys, what: str, nth: int | NDArray[np.int64] = 0) -> Keys:
    """64 uniform random bits for each key, independent for different `what` and `nth`."""
    salt = np.uint64(seed_of(what))
    return _mix((of ^ salt) + np.asarray(nth).astype(np.uint64) * _STEP + _STEP)


def uniform(of: Keys, what: str) -> NDArray[np.float64]:
    """A number in [0, 1) for each key."""
    return (draw(of, what) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def happens(of: Keys, what: str, share: float | NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether an event that happens to this share of all keys happens to each of these."""
    return uniform(of, what) < share


def between(of: Keys, what: str, low: int, high: int) -> NDArray[np.int64]:
    """An integer in [low, high) for each key."""
    return (draw(of, what) % np.uint64(high - low)).astype(np.int64) + low


def odds(weights: Sequence[float]) -> NDArray[np.int16]:
    """A table for `pick`, in which index i occurs in proportion to its weight (to a precision of 1/4096)."""
    bounds = np.cumsum(np.asarray(weights, dtype=np.float64))
    points = (np.arange(2**_TABLE_BITS) + 0.5) / 2**_TABLE_BITS * bounds[-1]
    return np.searchsorted(bounds, points, side="right").astype(np.int16)


def pick(
    tables: NDArray[np.int16], bits: Keys, row: NDArray[np.integer] | tuple[NDArray[np.integer], ...] = ()
) -> NDArray[np.int16]:
    """An index for each draw, from a table of `odds`, or from row `row` of a stack of tables."""
    rows = row if isinstance(row, tuple) else (row,)
    return tables[(*rows, (bits >> np.uint64(64 - _TABLE_BITS)).astype(np.intp))]
