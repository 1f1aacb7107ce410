"""Places in an object store that read as local paths do, as far as a landing zone needs it.

Listing, reading and conditional putting belong here; what the objects are is for their layer to know. Credentials, region and
endpoint come from the usual `AWS_*` environment variables.
"""

import io
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, BinaryIO, Literal, NamedTuple

if TYPE_CHECKING:
    from obstore.store import S3Store

PATIENCE_S = 300.0
"""How long a request may take, with its repetitions, unless somebody waits for the answer."""
READ_AHEAD = 16
"""Objects that are fetched at once: one takes tens of milliseconds, however small it is."""
MOST_AHEAD_BYTES = 8 * 2**20
"""Size up to which an object is fetched whole and ahead."""


class ObjectInfo(NamedTuple):
    """An object as it is listed."""

    path: "ObjectPath"
    size_bytes: int
    modified_at: datetime


@dataclass(frozen=True, order=True)
class ObjectPath:
    """An object, or a prefix of objects, by its URL without a slash at the end."""

    url: str

    def __truediv__(self, name: str) -> "ObjectPath":
        return ObjectPath(f"{self.url}/{name}")

    def __str__(self) -> str:
        return self.url

    @property
    def name(self) -> str:
        """What stands after the last slash."""
        return self.url.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """What stands after the last dot of the name, with the dot."""
        _, dot, ending = self.name.rpartition(".")
        return dot + ending

    def relative_to(self, folder: "ObjectPath") -> str:
        """The rest of the URL below a folder."""
        return self.url.removeprefix(f"{folder.url}/")

    def open(self, _: Literal["rb"] = "rb", /) -> BinaryIO:
        """The object's content, read as it comes.

        Raises:
            OSError: there is no such object, or the store is out.
        """
        with _as_os_errors(self):
            return io.BufferedReader(_Stream(self, self._store().get(self._key).stream(2**20)))

    def read_bytes(self) -> bytes:
        """The whole content; raises as `open` does."""
        with _as_os_errors(self):
            return bytes(self._store().get(self._key).bytes())

    def objects(self) -> Iterator[ObjectInfo]:
        """All objects below this prefix, in the order of their keys.

        Raises:
            OSError: the store is out; or the key of one has an empty part or one of dots, with which obstore can't deal.
        """
        with _as_os_errors(self):
            for chunk in self._store().list(f"{self._key}/" if self._key else None):
                for one in chunk:
                    path = ObjectPath(f"{self._bucket}/{one['path']}")
                    yield ObjectInfo(path, one["size"], one["last_modified"])

    def put_new(self, content: bytes | BinaryIO, patience_s: float = PATIENCE_S) -> None:
        """Write an object that is not there yet, durably and whole.

        Raises:
            FileExistsError: it is there. That is also said when the answer to a first attempt was lost.
            OSError: the store is out, for so long, or refuses; the object may appear all the same.
        """
        from obstore.exceptions import AlreadyExistsError

        with _as_os_errors(self):
            try:
                # Not in parts, whose completion some stores don't make conditional.
                self._store(patience_s).put(self._key, content, mode="create", use_multipart=False)
            except AlreadyExistsError as error:
                raise FileExistsError(f"{self} exists") from error

    def check(self) -> None:
        """Raise an `OSError` unless the prefix can be listed."""
        with _as_os_errors(self):
            self._store(10).list_with_delimiter(self._key or None)

    @property
    def _bucket(self) -> str:
        return self.url.removesuffix(self._key).removesuffix("/")

    @property
    def _key(self) -> str:
        # Not what a parser of URLs says: a key may have question marks and the like in it.
        return self.url.partition("://")[2].partition("/")[2]

    def _store(self, patience_s: float = PATIENCE_S) -> "S3Store":
        endpoint = os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT", "")
        return _store(self._bucket, endpoint, patience_s)


class Fetched(NamedTuple):
    """An object whose content may be here already; opened once."""

    suffix: str
    content: BinaryIO

    def open(self, _: Literal["rb"] = "rb", /) -> BinaryIO:
        """The content."""
        return self.content


def fetch_ahead(paths: Iterable[tuple[ObjectPath, int]]) -> Iterator[Fetched]:
    """Objects, given with their sizes, several being fetched at a time; raises as `open` does."""
    with ThreadPoolExecutor(READ_AHEAD, "objects") as threads:
        ahead: deque[Future[Fetched]] = deque()
        for path, size_bytes in paths:
            ahead.append(threads.submit(_fetch, path, size_bytes))
            if len(ahead) > READ_AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _fetch(path: ObjectPath, size_bytes: int) -> Fetched:
    return Fetched(path.suffix, path.open() if size_bytes > MOST_AHEAD_BYTES else io.BytesIO(path.read_bytes()))


class _Stream(io.RawIOBase):
    """The chunks of an answer as a file."""

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


@contextmanager
def _as_os_errors(path: ObjectPath) -> Iterator[None]:
    from obstore.exceptions import BaseError

    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(f"there is no object {path}") from error
    except BaseError as error:
        # What is wrong stands in the first line; a dump of the request follows.
        raise OSError(f"{path}: {str(error).splitlines()[0]}") from error


@lru_cache
def _store(bucket: str, endpoint: str, patience_s: float) -> "S3Store":
    from obstore.store import S3Store

    return S3Store.from_url(
        bucket,
        client_options={"timeout": timedelta(seconds=patience_s), "allow_http": endpoint.startswith("http://")},
        retry_config={"retry_timeout": timedelta(seconds=patience_s / 2), "max_retries": 3},
    )
