"""Messages as plain text, and texts from elsewhere as single printable lines."""

import re
from collections.abc import Iterator, Sequence

from radar_assets.messaging.message import Actions, Block, Commands, Facts, Item, Link, Message, Picture, Table, Text

MAX_ITEMS = 20
# Control characters break lines and headers; bidirectional and invisible ones let a text look like another.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\uffff\ud800-\udfff]+"
)


def line(text: str, max_length: int = 300) -> str:
    """Text from elsewhere as one line of printable characters."""
    text = " ".join(_UNPRINTABLE.sub(" ", text).split())
    return text if len(text) <= max_length else f"{text[: max_length - 1].rstrip()}…"


def plain_text(message: Message) -> str:
    """A message as plain text; a digest lists at most `MAX_ITEMS`."""
    if not message.items:
        status = message.status if message.is_good else f"{message.status}, {message.priority}"
        title = f"{status}: {message.headline}" if message.status else message.headline
        return "\n\n".join([title, *("\n".join(lines) for block in message.blocks if (lines := _block(block)))])
    lines = [message.headline, ""]
    for item in message.items[:MAX_ITEMS]:
        lines += _item(item)
    if len(message.items) > MAX_ITEMS:
        lines.append(f"- and {len(message.items) - MAX_ITEMS} more")
    if message.list_command:
        lines += ["", f"{message.list_command} shows them all."]
    return "\n".join(lines)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines whose columns line up."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _item(item: Item) -> Iterator[str]:
    yield f"- {item.status}, {item.priority}: {item.headline}, {item.when}"
    if item.link:
        yield f"  {item.link.url}"
    if item.command:
        yield f"  {item.command}"


def _block(block: Block) -> list[str]:
    match block:
        case Text():
            return [block.text]
        case Facts():
            return [f"{name}: {value}" for name, value in block.rows]
        case Table():
            return aligned([block.columns, *block.rows])
        case Picture():
            return []
        case Link():
            return [f"{block.name.capitalize()}: {block.url}"]
        case Actions():
            return [f"{label}: {url}" for label, url in block.rows]
        case Commands():
            return [f"{command}  ({effect})" for command, effect in block.rows]
