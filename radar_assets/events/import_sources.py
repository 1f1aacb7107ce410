"""Opens and decompresses files of other systems and splits them into blocks of whole lines, in bounded memory.

`import_formats.py` parses the lines.
"""

import sys
from codecs import BOM_UTF8
from collections.abc import Iterator
from contextlib import nullcontext
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from radar_assets.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_BYTES = 32 * 2**20
"""Bytes per block: enough to make the fixed cost of a query negligible."""

LONGEST_LINE = 64 * 2**20
"""Longer lines are truncated, as in segments."""

STANDARD_INPUT = Path("-")

_COMPRESSIONS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}


class ImportFailedError(UsageError):
    """A file can't be imported; the message says what is wrong with the file or the arguments."""


class Block(NamedTuple):
    """Whole lines; the last line of the file also ends with a line feed.

    Attributes:
        read_bytes: bytes of the (compressed) file read so far; 0 for a pipe.
    """

    data: memoryview
    read_bytes: int


def read_blocks(path: Path) -> Iterator[Block]:
    """Read a file in blocks, plain or compressed with gzip or zstd; `-` is the standard input.

    Raises:
        ImportFailedError: the file can't be opened, or can't be read to its end, after the blocks before.
    """
    try:
        with nullcontext(sys.stdin.buffer) if path == STANDARD_INPUT else path.open("rb") as file:
            content = _decompressed(file)
            carry = content.read(len(BOM_UTF8)).removeprefix(BOM_UTF8)
            while read := content.read(BLOCK_BYTES):
                data = carry + read
                end = data.rfind(b"\n") + 1
                if not end and len(data) >= LONGEST_LINE:
                    data, end = data + b"\n", len(data) + 1
                carry = data[end:]
                if end:
                    yield Block(memoryview(data)[:end], _position(file))
            if carry:
                yield Block(memoryview(carry + b"\n"), _position(file))
    except OSError as error:
        raise ImportFailedError(f"{path} can't be read: {error.strerror or error}") from error


def size_bytes(path: Path) -> int | None:
    """Size of a file; `None` for a pipe."""
    return path.stat().st_size if path != STANDARD_INPUT and path.is_file() else None


def _position(file: BinaryIO) -> int:
    return file.tell() if file.seekable() else 0


def _decompressed(file: BinaryIO) -> "BinaryIO | pa.NativeFile":
    """The content of a file. Compression is detected by the first bytes, whatever the name."""
    start = file.peek(4) if isinstance(file, BufferedReader) else b""
    for magic, compression in _COMPRESSIONS.items():
        if start.startswith(magic):
            import pyarrow as pa

            return pa.CompressedInputStream(file, compression)
    return file
