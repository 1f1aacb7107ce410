"""The interface of doors: how requests of one protocol become canonical events, and what its clients expect as a response.

Keys, limits, disks and the HTTP server are shared by all doors and live beside this module.
"""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol

import msgspec

from radar_assets.collector.recent import Recent
from radar_assets.events.user_agents import LOOKED_AT

MAX_EVENTS = 5_000
"""Maximum in a request. A door reads at most one more, which shows that there are too many."""


class DaySalts(NamedTuple):
    """The secrets behind visitor ids on a day of a project, the same in all workers and deleted after the next day.

    Attributes:
        today, yesterday: those of the day and of the day before; at most 64 bytes each.
        until: when the day ends; naive, UTC.
    """

    today: bytes
    yesterday: bytes
    until: datetime


@dataclass(frozen=True, slots=True)
class Sender:
    """The sender of a request, for protocols whose events name no visitor. It must not be stored or logged.

    Attributes:
        salts: the salts of the day of receipt, of the project of a write key.
        address: the whole IP address.
        received_at: naive, UTC.
        recent: what this machine has seen before; `None` to remember nothing of this sender.
    """

    salts: Callable[[str], DaySalts] = field(repr=False)
    address: str = field(repr=False)
    user_agent: str = field(repr=False)
    received_at: datetime
    recent: Recent | None = None

    def visitor_id(self, key: str, address: str = "", user_agent: str = "") -> str:
        """An id that is stable for a day of the project, or until a visit across midnight ends, and can't be traced to an address.

        Args:
            key: the write key, which names the site.
            address, user_agent: those of the visitor, if a server sends on behalf of others.
        """
        # Only the part of the user agent that is used elsewhere, since thousands of events of a body may need it.
        words = "\0".join((key, address or self.address, (user_agent or self.user_agent)[:LOOKED_AT]))
        *salts, until = self.salts(key)
        today, yesterday = (
            blake2b(words.encode(errors="surrogatepass"), key=salt, digest_size=16).hexdigest() for salt in salts
        )
        return self.recent.visitor(today, yesterday, self.received_at, until) if self.recent else today

    def first_sent(self, content: str, within: timedelta) -> datetime:
        """When this sender first sent this content, a hash in hexadecimal, less than `within` ago; else now."""
        return self.recent.first_sent(content, self.received_at, within) if self.recent else self.received_at


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request with its body.

    Attributes:
        query: the last value of each parameter.
        headers: by lower-case name.
        body: inflated.
        received_at: naive, UTC; no later than the answer.
        sender: with the whole address; not to be stored.
        address: the client's IP address as the settings allow it to be kept, or `None`.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    received_at: datetime
    sender: Sender
    address: str | None = None

    @property
    def key(self) -> str:
        """The key of the headers or the query: bearer token, basic auth user or `key`; empty if absent."""
        scheme, _, value = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return value.strip()
        if scheme.lower() == "basic":
            try:
                return base64.b64decode(value, validate=True).decode().partition(":")[0]
            except (binascii.Error, UnicodeDecodeError):
                return ""
        return self.query.get("key", "")


class Event(msgspec.Struct, omit_defaults=True, kw_only=True, gc=False):
    """A canonical event without project, received time and protocol, which the shared code adds.

    Fields hold what was sent, of any type (`msgspec.Raw` if not decoded). The contract validates them, so that an invalid event
    becomes a rejected line.
    """

    event_id: Any = None
    type: Any = None
    event: Any = None
    category: Any = None
    user_id: Any = None
    anonymous_id: Any = None
    session_id: Any = None
    timestamp: Any = None
    """Defaults to the received time of the request."""
    sent_at: Any = None
    properties: Any = None
    context: Any = None


class Failed(NamedTuple):
    """An event on which the door failed unexpectedly: the error, and the JSON, which becomes a rejected line."""

    error: Exception
    raw: msgspec.Raw = msgspec.Raw(b"null")


def attempt(make: Callable[..., Event], *arguments: Any) -> Event | Failed:
    """Make an event; an error costs only this event."""
    try:
        return make(*arguments)
    except Exception as error:
        return Failed(error)


def identifier(value: Any) -> Any:
    """An id as text if it is an integer, else as sent: SDKs allow both kinds of id."""
    return str(value) if type(value) is int else value


@dataclass(frozen=True, slots=True)
class Batch:
    """The events of a request.

    Attributes:
        key: the write key, as sent; `None` if it is missing.
        events: in the order sent. Elements that are not objects stay raw JSON.
        report: for protocols whose responses cover single events: makes the detail of the response from the events, their lines,
            the received time and the first day of the platform.
    """

    key: str | None
    events: Sequence[Event | msgspec.Raw | Failed] = field(default_factory=tuple)
    report: Callable[[Sequence[Event | msgspec.Raw | Failed], bytes, datetime, date], str] | None = None


class Outcome(StrEnum):
    """The outcome of a request, which each door translates into its protocol."""

    ACCEPTED = "accepted"
    """All lines are on disk. The contract may still reject some."""
    MALFORMED = "malformed"
    """Not a request of this protocol: not JSON, say, or without its list of events."""
    UNAUTHORIZED = "unauthorized"
    """No key, or one that is unknown, revoked or not for this origin."""
    TOO_LARGE = "too_large"
    LIMITED = "limited"
    """Over the project's rate or quota; the shared code adds `Retry-After`."""
    UNAVAILABLE = "unavailable"
    """Nothing could be made durable; the shared code adds `Retry-After`."""


STATUS: Mapping[Outcome, HTTPStatus] = {
    Outcome.ACCEPTED: HTTPStatus.OK,
    Outcome.MALFORMED: HTTPStatus.BAD_REQUEST,
    Outcome.UNAUTHORIZED: HTTPStatus.UNAUTHORIZED,
    Outcome.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Outcome.LIMITED: HTTPStatus.TOO_MANY_REQUESTS,
    Outcome.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""The default HTTP status of each outcome."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


class MalformedRequestError(ValueError):
    """A request is not of the door's protocol; the message says what is wrong and what is expected."""


class ForeignRequestError(MalformedRequestError):
    """A request can be read, but none of its events is of its door's protocol: it may be of another product's SDK."""


class Door(Protocol):
    """One protocol. `name` is the `protocol` of its events."""

    name: str

    @property
    def routes(self) -> Sequence[tuple[str, str]]:
        """Methods and paths, including those without events that SDKs need a response from."""
        ...

    def read(self, request: Request) -> Batch:
        """The events of a request.

        Raises:
            MalformedRequestError: it is not a request of this protocol.
            TooLargeError: members that its events share would take too much memory.
        """
        ...

    def answer(self, request: Request, outcome: Outcome, detail: str = "") -> Answer:
        """The response that clients of this protocol expect.

        Args:
            detail: what is wrong, or the report on accepted events if the batch has one.
        """
        ...
