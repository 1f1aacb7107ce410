"""Objects in an object store, with the part of pathlib's interface that a landing zone needs.

Listing, reading and conditional writes belong here; the meaning of objects belongs in their layer. Credentials, region and endpoint
come from the usual `AWS_*` environment variables.
"""

import io
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, BinaryIO, Literal, NamedTuple

if TYPE_CHECKING:
    from obstore.store import S3Store

TIMEOUT_S = 300.0
"""Timeout of a request including its retries, unless a client is waiting for the response."""
PREFETCHED_OBJECTS = 16
"""How many objects are fetched concurrently. Each takes tens of milliseconds, however small it is."""
RANGE_BYTES = 2**20
"""How much is fetched at a time of an object that is read at any position."""
MAX_PREFETCH_BYTES = 8 * 2**20
"""Maximum size of objects that are prefetched as a whole."""


class ObjectInfo(NamedTuple):
    """An object in a listing."""

    path: "ObjectPath"
    size_bytes: int
    modified_at: datetime


@dataclass(frozen=True, order=True)
class ObjectPath:
    """An object, or a prefix of objects: its URL without a trailing slash."""

    url: str

    def __truediv__(self, name: str) -> "ObjectPath":
        return ObjectPath(f"{self.url}/{name}")

    def __str__(self) -> str:
        return self.url

    @property
    def name(self) -> str:
        """The part after the last slash."""
        return self.url.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """The extension of the name, with its dot."""
        _, dot, ending = self.name.rpartition(".")
        return dot + ending

    def relative_to(self, folder: "ObjectPath") -> str:
        """The part of the URL below a folder."""
        return self.url.removeprefix(f"{folder.url}/")

    def open(self, _: Literal["rb"] = "rb", /) -> BinaryIO:
        """The object's content, as a stream.

        Raises:
            OSError: the object doesn't exist, or the store is unavailable.
        """
        with _as_os_errors(self):
            return io.BufferedReader(_Stream(self, self._store().get(self._key).stream(2**20)))

    def read_bytes(self) -> bytes:
        """The whole content. Raises like `open`."""
        with _as_os_errors(self):
            return bytes(self._store().get(self._key).bytes())

    def open_seekable(self) -> BinaryIO:
        """The object's content for reads at any position, such as those of an archive. Raises like `open`."""
        with _as_os_errors(self):
            return io.BufferedReader(_Ranges(self, self._store().head(self._key)["size"]), RANGE_BYTES)

    def read_range(self, start: int, length: int) -> bytes:
        """Some bytes of the content. Raises like `open`."""
        with _as_os_errors(self):
            return bytes(self._store().get_range(self._key, start=start, length=length))

    def delete(self) -> None:
        """Delete the object, if it exists.

        Raises:
            OSError: the store is unavailable, or refused.
        """
        with _as_os_errors(self), suppress(FileNotFoundError):
            self._store().delete(self._key)

    def objects(self) -> Iterator[ObjectInfo]:
        """All objects below this prefix, ordered by key.

        Raises:
            OSError: the store is unavailable, or a key has an empty part or one of dots, which obstore doesn't support.
        """
        with _as_os_errors(self):
            for chunk in self._store().list(f"{self._key}/" if self._key else None):
                for meta in chunk:
                    path = ObjectPath(f"{self._bucket}/{meta['path']}")
                    yield ObjectInfo(path, meta["size"], meta["last_modified"])

    def put_new(self, content: bytes | BinaryIO, timeout_s: float = TIMEOUT_S) -> None:
        """Create an object, durably and atomically.

        Raises:
            FileExistsError: the object exists. Also raised if the response to a first, successful attempt was lost.
            OSError: the store was unavailable for `timeout_s`, or refused. The object may appear all the same.
        """
        from obstore.exceptions import AlreadyExistsError

        with _as_os_errors(self):
            try:
                # No multipart upload: some stores don't make its completion conditional.
                self._store(timeout_s).put(self._key, content, mode="create", use_multipart=False)
            except AlreadyExistsError as error:
                raise FileExistsError(f"{self} exists") from error

    def check(self) -> None:
        """Raise an `OSError` if the prefix can't be listed."""
        with _as_os_errors(self):
            self._store(10).list_with_delimiter(self._key or None)

    @property
    def _bucket(self) -> str:
        return self.url.removesuffix(self._key).removesuffix("/")

    @property
    def _key(self) -> str:
        # URL parsers would cut a key at characters such as question marks.
        return self.url.partition("://")[2].partition("/")[2]

    def _store(self, timeout_s: float = TIMEOUT_S) -> "S3Store":
        endpoint = os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT", "")
        return _store(self._bucket, endpoint, timeout_s)


class Fetched(NamedTuple):
    """An object whose content may have been fetched already. It can be opened once."""

    suffix: str
    content: BinaryIO

    def open(self, _: Literal["rb"] = "rb", /) -> BinaryIO:
        """The content."""
        return self.content


def fetch_ahead(paths: Iterable[tuple[ObjectPath, int]]) -> Iterator[Fetched]:
    """Open objects, given with their sizes, prefetching several concurrently. Raises like `open`."""
    with ThreadPoolExecutor(PREFETCHED_OBJECTS, "objects") as threads:
        ahead: deque[Future[Fetched]] = deque()
        for path, size_bytes in paths:
            ahead.append(threads.submit(_fetch, path, size_bytes))
            if len(ahead) > PREFETCHED_OBJECTS:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _fetch(path: ObjectPath, size_bytes: int) -> Fetched:
    return Fetched(path.suffix, path.open() if size_bytes > MAX_PREFETCH_BYTES else io.BytesIO(path.read_bytes()))


class _Stream(io.RawIOBase):
    """The chunks of a response as a file."""

    def __init__(self, path: ObjectPath, chunks: Iterable[bytes]) -> None:
        self._path, self._chunks, self._rest = path, iter(chunks), memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        with _as_os_errors(self._path):
            while not self._rest:
                chunk = next(self._chunks, None)
                if chunk is None:
                    return 0
                self._rest = memoryview(chunk)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


class _Ranges(io.RawIOBase):
    """An object as a file that can be read at any position."""

    def __init__(self, path: ObjectPath, size_bytes: int) -> None:
        self._path, self._size_bytes, self._position = path, size_bytes, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size_bytes}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer) -> int:
        length = min(len(buffer), self._size_bytes - self._position)
        if length <= 0:
            return 0
        buffer[:length] = self._path.read_range(self._position, length)
        self._position += length
        return length


@contextmanager
def _as_os_errors(path: ObjectPath) -> Iterator[None]:
    from obstore.exceptions import BaseError

    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(f"object {path} not found") from error
    except BaseError as error:
        # The first line has the reason; a dump of the request follows.
        raise OSError(f"{path}: {str(error).splitlines()[0]}") from error


@lru_cache
def _store(bucket: str, endpoint: str, timeout_s: float) -> "S3Store":
    from obstore.store import S3Store

    return S3Store.from_url(
        bucket,
        client_options={"timeout": timedelta(seconds=timeout_s), "allow_http": endpoint.startswith("http://")},
        retry_config={"retry_timeout": timedelta(seconds=timeout_s / 2), "max_retries": 3},
    )
