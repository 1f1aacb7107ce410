"""Splits a segment into lines, as Arrow batches, at memory speed and in bounded memory.

Validating lines belongs to the contract, finding segments to the landing zone.
"""

import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, NamedTuple, Protocol

from radar_assets.events.contract import Reason
from radar_assets.events.packs import DamagedPackError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

MAX_KEPT_BYTES = 64 * 2**20
"""Maximum bytes of a line that are kept; the rest of a longer line is skipped."""

_INLINE_BYTES = 12
"""Maximum length of strings that Arrow stores in the view itself."""


class Readable(Protocol):
    """A file that is read like a `Path`; its suffix names the compression."""

    @property
    def suffix(self) -> str: ...

    def open(self, mode: Literal["rb"], /) -> BinaryIO: ...


class Chunk(NamedTuple):
    """Some lines of a segment (`line_number`, `line`, `text`, `problem`) and their size in memory."""

    lines: "pa.RecordBatch"
    size_bytes: int


class _CorruptError(Exception):
    """Compressed data is invalid; the message describes the problem."""


def read_segment(path: Readable, chunk_bytes: int) -> Iterator[Chunk]:
    r"""Read the lines of a segment, split only at `\n`. Blank lines are skipped but counted.

    `text` is the line, or null if it is not UTF-8 or has a problem; then `line` has the bytes. `problem` is null, or a reason and its
    detail, such as `line_too_long: ...`. The last row of a segment that can't be read to its end has a problem, and so has the only
    row of a segment without lines, with line number 0.

    Raises:
        OSError: the file can't be opened or read.
    """
    carry, number, rows, skipping, fault = b"", 1, 0, False, None
    try:
        for block in _blocks(path, chunk_bytes):
            data = block
            if skipping:
                _, newline, data = block.partition(b"\n")
                skipping = not newline
            data = carry + data
            end = data.rfind(b"\n") + 1
            carry = data[end:]
            if len(carry) > MAX_KEPT_BYTES:
                end, carry, skipping = len(data), b"", True
            if end:
                lines, count = _lines(memoryview(data)[:end], number)
                number, rows = number + count, rows + lines.num_rows
                yield Chunk(lines, end)
    except (_CorruptError, DamagedPackError) as error:
        fault = f"{Reason.UNREADABLE_SEGMENT}: {error}"
    if fault:
        yield Chunk(_problem(number, carry, fault), len(carry))
        return
    if carry:
        lines, _ = _lines(memoryview(carry), number)
        rows += lines.num_rows
        yield Chunk(lines, len(carry))
    if not rows:
        yield Chunk(_problem(0, b"", f"{Reason.EMPTY_SEGMENT}: no line"), 0)


def _blocks(path: Readable, chunk_bytes: int) -> Iterator[bytes]:
    """The content in blocks of about `chunk_bytes`, decompressed.

    Raises:
        _CorruptError: the data is corrupt; raised after the blocks before that.
    """
    with path.open("rb") as file:
        if path.suffix == ".ndjson":
            while block := file.read(chunk_bytes):
                yield block
            return
        pieces, size, fault = [], 0, None
        try:
            for piece in _decompressed(file, path.suffix):
                pieces.append(piece)
                size += len(piece)
                if size >= chunk_bytes:
                    yield b"".join(pieces)
                    pieces, size = [], 0
        except _CorruptError as error:
            fault = error
        if size:
            yield b"".join(pieces)
        if fault:
            raise fault


def _decompressed(file: BinaryIO, suffix: str) -> Iterator[bytes]:
    """Decompress a `.gz` or `.zst` file, which may consist of several members or frames."""
    import zstandard

    # Slices are small because data can expand 1,000 times in gzip and 130,000 times in zstd.
    new: Callable[[], Any]
    if suffix == ".gz":
        new, slice_bytes = lambda: zlib.decompressobj(wbits=31), 2**14
    else:
        new, slice_bytes = zstandard.ZstdDecompressor().decompressobj, 2**10
    decompressor = None
    while data := file.read(slice_bytes):
        while data:
            decompressor = decompressor or new()
            try:
                yield decompressor.decompress(data)
            except (zlib.error, zstandard.ZstdError) as error:
                raise _CorruptError(f"the {suffix} data is corrupt ({error})") from error
            data = decompressor.unused_data
            if decompressor.eof:
                decompressor = None
    if decompressor:
        raise _CorruptError(f"the {suffix} data is truncated")


def _lines(data: memoryview, number: int) -> "tuple[pa.RecordBatch, int]":
    """The lines of `data`, numbered from the given number, and how many there are, including blank ones."""
    import numpy as np
    import pyarrow as pa

    content = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(content == ord("\n"))
    if data[-1] != ord("\n"):
        ends = np.append(ends, len(data))
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts
    too_long = lengths > MAX_KEPT_BYTES
    kept = np.flatnonzero(_written(content, starts, lengths) | too_long)

    numbers, starts, lengths, too_long = number + kept, starts[kept], lengths[kept], too_long[kept]
    readable = ~too_long
    if not _is_utf8(data):
        readable &= _utf8_lines(data, content, starts, lengths)
    problems = pa.nulls(len(kept), pa.string())
    if too_long.any():
        detail = f"{Reason.LINE_TOO_LONG}: over {MAX_KEPT_BYTES} bytes, of which the first are kept"
        problems = pa.array([detail if over else None for over in too_long], pa.string())
    views = pa.py_buffer(_views(content, starts, np.minimum(lengths, MAX_KEPT_BYTES)))
    buffer = pa.py_buffer(data)
    return _batch(
        pa.array(numbers),
        pa.Array.from_buffers(pa.binary_view(), len(kept), [_bitmap(~readable), views, buffer]),
        pa.Array.from_buffers(pa.string_view(), len(kept), [_bitmap(readable), views, buffer]),
        problems,
    ), len(ends)


def _written(content: "np.ndarray", starts: "np.ndarray", lengths: "np.ndarray") -> "np.ndarray":
    """Which lines have more than JSON whitespace."""
    import numpy as np

    blank = np.isin(np.arange(256), list(b" \t\r\n"))
    written = lengths > 0
    if (blank[content[starts]] & written).any():
        return np.logical_or.reduceat(~blank[content], starts)
    return written


def _is_utf8(data: memoryview) -> bool:
    import numpy as np
    import pyarrow as pa

    offsets = pa.py_buffer(np.array([0, len(data)]))
    try:
        pa.Array.from_buffers(pa.large_string(), 1, [None, offsets, pa.py_buffer(data)]).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _utf8_lines(data: memoryview, content: "np.ndarray", starts: "np.ndarray", lengths: "np.ndarray") -> "np.ndarray":
    """Which lines are UTF-8, checked one by one; only for chunks that are not all UTF-8."""
    import numpy as np

    utf8 = np.ones(len(starts), bool)
    for line in np.flatnonzero(np.logical_or.reduceat(content >= 0x80, starts)):
        try:
            str(data[starts[line] : starts[line] + lengths[line]], "utf-8")
        except UnicodeDecodeError:
            utf8[line] = False
    return utf8


def _views(content: "np.ndarray", starts: "np.ndarray", lengths: "np.ndarray") -> "np.ndarray":
    """Arrow's string views: length, first four bytes, buffer index and offset; or length and up to twelve bytes."""
    import numpy as np

    views = np.zeros((len(starts), 4), np.int32)
    letters = views.view(np.uint8)
    views[:, 0] = lengths
    views[:, 3] = starts
    for place in range(4):
        letters[:, 4 + place] = content.take(starts + place, mode="clip")
    short = np.flatnonzero(lengths <= _INLINE_BYTES)
    for place in range(_INLINE_BYTES):
        letter = content.take(starts[short] + place, mode="clip")
        letters[short, 4 + place] = np.where(place < lengths[short], letter, 0)
    return views


def _bitmap(valid: "np.ndarray") -> "pa.Buffer | None":
    import numpy as np
    import pyarrow as pa

    return None if valid.all() else pa.py_buffer(np.packbits(valid, bitorder="little"))


def _problem(number: int, line: bytes, problem: str) -> "pa.RecordBatch":
    import pyarrow as pa

    return _batch(
        pa.array([number]),
        pa.array([line or None], pa.binary_view()),
        pa.nulls(1, pa.string_view()),
        pa.array([problem]),
    )


def _batch(line_number: "pa.Array", line: "pa.Array", text: "pa.Array", problem: "pa.Array") -> "pa.RecordBatch":
    import pyarrow as pa

    names = ["line_number", "line", "text", "problem"]
    return pa.RecordBatch.from_arrays([line_number, line, text, problem], names)
