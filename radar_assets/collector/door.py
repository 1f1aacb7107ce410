"""What a door is: how one protocol's requests become canonical events, and how that protocol wants to be answered.

A door knows nothing of keys, limits, disks and HTTP servers; those are the same for all and live beside this module.
"""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol

import msgspec

from radar_assets.events.user_agents import LOOKED_AT

MAX_EVENTS = 5_000
"""In a request. A door need not look at more than one beyond them, which is how it tells that there are too many."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sent a request, for protocols whose events name no visitor. Nothing of it may be stored or logged.

    Attributes:
        salt: at most 64 bytes; a secret of the day, the same in all workers and gone some days later.
        address: the whole IP address.
    """

    salt: bytes = field(repr=False)
    address: str = field(repr=False)
    user_agent: str = field(repr=False)

    def visitor_id(self, site: str, address: str = "", user_agent: str = "") -> str:
        """An id that stays the same on a site for the day, and that can't be traced back to an address.

        Args:
            address: of the visitor, and so `user_agent`, where a server sends for others.
        """
        # Of the user agent no more than is looked at elsewhere: events without an id, of which a body holds thousands, share it.
        words = "\0".join((site, address or self.address, (user_agent or self.user_agent)[:LOOKED_AT]))
        return blake2b(words.encode(errors="surrogatepass"), key=self.salt, digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, read whole.

    Attributes:
        query: the last value of each parameter.
        headers: by lower-case name.
        body: inflated, whatever it was packed in.
        received_at: naive, UTC; no later than the answer.
        sender: who sent it, in full; not to be stored.
        address: the client's IP address as far as the settings let it be kept, or `None`.
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
        """The key that headers or query have: a bearer token, the user of basic auth, or `key`; empty if there is none."""
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
    """A canonical event as its sender means it; project, received time and protocol are added by what is shared.

    A field holds what was sent, of whatever type (`msgspec.Raw` where it need not be looked at): that it is as the contract wants it
    is for the contract to say, so that a bad event becomes a rejected line and not a lost one.
    """

    event_id: Any = None
    type: Any = None
    event: Any = None
    category: Any = None
    user_id: Any = None
    anonymous_id: Any = None
    session_id: Any = None
    timestamp: Any = None
    """By default when the request was received."""
    sent_at: Any = None
    properties: Any = None
    context: Any = None


class Failed(NamedTuple):
    """An event on which its door failed unexpectedly: the error, and what was sent, which becomes a rejected line."""

    error: Exception
    raw: msgspec.Raw = msgspec.Raw(b"null")


def attempt(make: Callable[..., Event], *arguments: Any) -> Event | Failed:
    """The event that is made of these; whatever goes wrong costs that event alone."""
    try:
        return make(*arguments)
    except Exception as error:
        return Failed(error)


def identifier(value: Any) -> Any:
    """An id as it was sent, but a whole number as its digits: SDKs let applications have ids of either kind."""
    return str(value) if type(value) is int else value


@dataclass(frozen=True, slots=True)
class Batch:
    """What a request asks to take in.

    Attributes:
        key: the write key, as sent; `None` if there is none.
        events: in the order sent. An element that is not an object stands as the JSON that it is.
    """

    key: str | None
    events: Sequence[Event | msgspec.Raw | Failed] = field(default_factory=tuple)


class Outcome(StrEnum):
    """What became of a request; the door says it in its protocol's words."""

    ACCEPTED = "accepted"
    """On disk, whatever the contract will say of each line."""
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
"""The status that says so in any protocol without words of its own for it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


class MalformedRequestError(ValueError):
    """A request is not of its door's protocol; the message names what is wrong and what is expected."""


class ForeignRequestError(MalformedRequestError):
    """A request can be read, but none of its events is of its door's protocol: it may be of another product's SDK."""


class Door(Protocol):
    """One protocol. `name` is the `protocol` of its events."""

    name: str

    @property
    def routes(self) -> Sequence[tuple[str, str]]:
        """Method and path; each is read by `read`. A path that only keeps SDKs quiet belongs here too and reads no event."""
        ...

    def read(self, request: Request) -> Batch:
        """The events of a request.

        Raises:
            MalformedRequestError: it is no request of this protocol.
            TooLargeError: what its events share would come to too much.
        """
        ...

    def answer(self, request: Request, outcome: Outcome, detail: str = "") -> Answer:
        """The response that this protocol's senders expect."""
        ...
