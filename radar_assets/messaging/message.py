"""Messages: their contents in blocks, which each channel formats in its own way, and as JSON for programs.

Layers render messages from the contents that they put into the outbox. Texts are printable and of bounded length
(`plain_text.line`) but not escaped: each channel escapes the characters of its own markup.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Priority = Literal["low", "medium", "high", "critical"]
PRIORITIES: tuple[Priority, ...] = ("low", "medium", "high", "critical")


@dataclass(frozen=True)
class Draft:
    """A message as the outbox keeps it. It is rendered when it is sent, so charts show what is known by then.

    Attributes:
        id: the same on every attempt, so that receivers can recognize a message that arrives twice.
        kind: the layer whose contents these are; selects the renderer.
        contents: JSON of that layer; several make a digest.
        created_at: naive, UTC.
        channel: the channel that it is sent to.
    """

    id: str
    kind: str
    contents: Sequence[dict[str, Any]]
    created_at: datetime
    channel: str = ""


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Facts:
    """Names and values."""

    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """Rows of cells under column headings."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Picture:
    """A PNG, which only mails show.

    Attributes:
        name: unique within the message.
        draw: called when a channel shows pictures; returns None if there is nothing to draw.
        alt: replaces the picture where it is not shown.
    """

    name: str
    draw: Callable[[], bytes | None]
    alt: str


@dataclass(frozen=True)
class Link:
    """A page to open.

    Attributes:
        name: of the page, such as `check`; shown as `Open the check`.
    """

    name: str
    url: str


@dataclass(frozen=True)
class Commands:
    """Commands to copy, each with its effect. They consist of letters, digits, spaces, `_` and `-`."""

    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Actions:
    """Pages on which the reader can act, each with a label such as `Acknowledge`. Their URLs are as good as a password."""

    rows: Sequence[tuple[str, str]]


Block = Text | Facts | Table | Picture | Link | Actions | Commands


@dataclass(frozen=True)
class Attachment:
    """An attached file; channels without attachments leave it out."""

    name: str
    media_type: str
    content: bytes


@dataclass(frozen=True, kw_only=True)
class Item:
    """One entry of a digest.

    Attributes:
        status: such as `Still firing`.
        is_good: whether it is good or neutral news; shown in green.
        when: when it happened, for people.
        command: the command that helps most; empty for none.
    """

    status: str
    priority: Priority
    is_good: bool = False
    headline: str
    when: str = ""
    link: Link | None = None
    command: str = ""


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message for a channel: one thing in detail, or a digest of several.

    Attributes:
        id: the same on every attempt.
        kind: what happened, for programs, such as `alert.fired`.
        subject: at most 150 characters.
        status: such as `Still firing`; empty for a digest.
        priority: of a digest, the highest of its ongoing entries.
        is_good: as in `Item`; of a digest, whether all of it is.
        items: the entries of a digest, the most important first; empty for a single message.
        list_command: the command that lists everything a digest is about.
        is_over: whether what earlier messages of the thread were about has ended, for good or bad.
        thread_id: mails with the same one are shown as a conversation.
        unsubscribe_group: what people unsubscribe from, such as `alerts`.
        payload: the contents for programs, as JSON.
    """

    id: str
    kind: str
    created_at: datetime
    subject: str
    status: str = ""
    priority: Priority = "low"
    is_good: bool = False
    is_over: bool = False
    headline: str
    blocks: Sequence[Block] = ()
    items: Sequence[Item] = ()
    list_command: str = ""
    attachments: Sequence[Attachment] = ()
    thread_id: str | None = None
    unsubscribe_group: str
    payload: Mapping[str, Any] = field(default_factory=dict)

    @property
    def urgency(self) -> Priority:
        """The priority for notifications: low for good news, whatever its own priority."""
        return "low" if self.is_good else self.priority


Renderer = Callable[[Draft], Message]
"""Renders the message of a draft; each layer has a renderer for its contents."""
