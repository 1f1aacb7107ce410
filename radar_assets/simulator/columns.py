"""Formats columns of numbers as columns of text: identifiers in hexadecimal, times as RFC 3339.

It is fast because all values of a column have the same width.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from radar_assets.simulator.clock import HOUR_MS
from radar_assets.simulator.draws import Keys

Characters = NDArray[np.uint8]
"""One row of bytes per value."""

_HEX = np.array([f"{byte:02x}" for byte in range(256)], dtype="S2").view(np.uint16)
_MINUTES = np.array([f"{second // 60:02d}:{second % 60:02d}." for second in range(3600)], dtype="S6")
_MILLISECONDS = np.array([f"{ms:03d}Z" for ms in range(1000)], dtype="S4")


def column(*parts: bytes | Characters, where: NDArray[np.bool_] | None = None) -> pa.Array:
    """A column of text that concatenates the parts; empty where `where` is false."""
    count = next(len(part) for part in parts if not isinstance(part, bytes))
    blocks = [
        np.frombuffer(part, np.uint8)[None, :].repeat(count, 0) if isinstance(part, bytes) else part for part in parts
    ]
    text = np.concatenate(blocks, axis=1)
    width = text.shape[1]
    lengths = np.full(count, width, dtype=np.int32) if where is None else where.astype(np.int32) * np.int32(width)
    offsets = np.concatenate([np.zeros(1, np.int32), np.cumsum(lengths, dtype=np.int32)])
    values = text if where is None else text[where]
    return pa.Array.from_buffers(
        pa.string(), count, [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(values))]
    )


def hexadecimal(of: Keys, digits: int) -> Characters:
    """The first `digits` of each key's 16 digits."""
    pairs = _HEX[of.astype(">u8").view(np.uint8)]
    return pairs.view(np.uint8).reshape(len(of), 16)[:, :digits]


def times(epoch_ms: NDArray[np.int64]) -> Characters:
    """Times as RFC 3339 in UTC, with milliseconds."""
    hours, rest = np.divmod(epoch_ms, HOUR_MS)
    seconds, milliseconds = np.divmod(rest, 1000)
    first = hours.min()
    names = np.datetime_as_string(np.arange(first, hours.max() + 1).astype("datetime64[h]"))
    text = np.empty(len(epoch_ms), dtype=[("hour", "S14"), ("minute", "S6"), ("millisecond", "S4")])
    text["hour"] = np.char.add(names, ":").astype("S14")[hours - first]
    text["minute"] = _MINUTES[seconds]
    text["millisecond"] = _MILLISECONDS[milliseconds]
    return text.view(np.uint8).reshape(len(epoch_ms), 24)


def data_of(texts: pa.StringArray) -> memoryview:
    """The concatenated bytes of the texts."""
    _, offsets, data = texts.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return memoryview(data)[int(bounds[0]) : int(bounds[-1])]
