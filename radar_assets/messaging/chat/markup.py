"""Messages as text of a chat, in the chat's own markup."""

import html
import re
from collections.abc import Callable, Iterator

from radar_assets.messaging.message import Actions, Block, Commands, Facts, Link, Message, Picture, Table, Text

MAX_CHARACTERS = 1900
"""Of a text; Discord's limit is 2000."""
MAX_ITEMS = 10
"""Of a digest."""


class Markup:
    """The markup of a chat, and how text is escaped that must not be read as markup.

    Args:
        escape: escapes arbitrary text.
        bold, code: format strings for escaped text.
        link: format string for the URL and its label.
    """

    def __init__(self, escape: Callable[[str], str], bold: str, code: str, link: str) -> None:
        self._escape, self.bold, self.code, self.link = escape, bold, code, link

    def escape(self, text: str) -> str:
        """Text that is shown literally: without markup, mentions, or URLs that the chat would turn into links."""
        # A word joiner is invisible, and breaks the patterns that chats recognize.
        text = re.sub(r"(?<=@)|(?<=:/)(?=/)|(?<=\bwww)(?=\.)|(?<=:)(?=\w+:)", "\u2060", text, flags=re.IGNORECASE)
        return self._escape(text)


def _backslashes(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]()<>#~|!>])", r"\\\1", text)


def _lookalikes(text: str) -> str:
    """Replace markup with similar characters, for chats without escapes for it or where apprise interferes."""
    text = text.translate(str.maketrans("*~`[]<>|", "∗∼ˋ［］‹›∣"))
    return re.sub(r"(?<!\w)_|_(?!\w)", "＿", text)


PLAIN = Markup(str, "{}", "{}", "{1}: {0}")
COMMONMARK = Markup(_backslashes, "**{}**", "`{}`", "[{1}](<{0}>)")
SIMPLE = Markup(_lookalikes, "*{}*", "`{}`", "[{1}]({0})")
SLACK = Markup(_lookalikes, "*{}*", "`{}`", "<{0}|{1}>")
GOOGLE = Markup(_lookalikes, "*{}*", "`{}`", "<{0}|{1}>")
ADAPTIVE_CARD = Markup(_lookalikes, "**{}**", "{}", "[{1}]({0})")
TELEGRAM_HTML = Markup(html.escape, "<b>{}</b>", "<code>{}</code>", '<a href="{0}">{1}</a>')


def render(markup: Markup, message: Message, max_items: int = MAX_ITEMS) -> str:
    """A message in the markup of a chat.

    Args:
        max_items: how many entries of a digest are listed.
    """
    return "\n".join(_lines(markup, message, max_items))


def fitting(markup: Markup, message: Message) -> str:
    """The text, with as many entries of a digest as fit."""
    for max_items in range(MAX_ITEMS, 0, -1):
        text = render(markup, message, max_items)
        if len(text) <= MAX_CHARACTERS:
            return text
    # A single entry of extreme length. Its first lines matter most; whole lines are left out, so that no markup is cut in two.
    kept, length = [], 0
    for line in text.split("\n"):
        length += len(line) + 1
        if length <= MAX_CHARACTERS:
            kept.append(line)
    return "\n".join(kept)


def _lines(markup: Markup, message: Message, max_items: int) -> Iterator[str]:
    escape = markup.escape
    if not message.items:
        title = f"{message.status} · {message.priority}: {message.headline}" if message.status else message.headline
        yield markup.bold.format(escape(title))
        for block in message.blocks:
            yield from _block(markup, block)
        return
    yield markup.bold.format(escape(message.headline))
    for item in message.items[:max_items]:
        link = f" {_link(markup, item.link.url, item.link.name)}" if item.link else ""
        yield f"• {escape(f'{item.status} · {item.priority}: {item.headline}')}{link}"
    if len(message.items) > max_items:
        yield f"• and {len(message.items) - max_items} more"
    if message.list_command:
        yield markup.code.format(_code(message.list_command))


def _block(markup: Markup, block: Block) -> Iterator[str]:
    escape = markup.escape
    if isinstance(block, Facts | Table | Commands):
        yield ""
    match block:
        case Text():
            yield escape(block.text)
        case Facts():
            for name, value in block.rows:
                yield f"{escape(name)}: {escape(value)}"
        case Table():
            yield markup.bold.format(escape(" · ".join(block.columns)))
            for row in block.rows:
                yield escape(" · ".join(row))
        case Link():
            yield _link(markup, block.url, f"Open the {block.name}")
        case Actions():
            for label, url in block.rows:
                yield _link(markup, url, label)
        case Commands():
            for command, effect in block.rows:
                yield f"{markup.code.format(_code(command))} ({escape(effect)})"
        case Picture():
            return


def _link(markup: Markup, url: str, label: str) -> str:
    safe = re.sub(r"[<>()|\[\]\"'`\\*@]", lambda found: f"%{ord(found[0]):02X}", url)
    return markup.link.format(html.escape(safe) if markup is TELEGRAM_HTML else safe, label)


def _code(command: str) -> str:
    """A command; ids in it come from elsewhere, so only the characters that ids are made of are kept."""
    return re.sub(r"[^A-Za-z0-9 _-]", "", command)
