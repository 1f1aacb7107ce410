"""Makes text that users write safe for Dagster's UI, which shows it as Markdown: a remote image would reveal each reader."""

import re
from collections.abc import Iterable, Sequence

# Every Markdown image starts like this, whether with an address or a reference.
_IMAGE = re.compile(r"!(?=\[)")
_TAG = re.compile(
    r"<\s*(?:audio|embed|frame|iframe|image|img|input|link|object|picture|source|style|svg|video)\b", re.I
)
_SPECIAL = re.compile(r"[\\`*_{}\[\]()<>!|~&:@]")


def refuse_images(text: str) -> str:
    """Return the text unchanged.

    Raises:
        ValueError: the text contains an image.
    """
    if _IMAGE.search(text) or _TAG.search(text):
        raise ValueError("contains an image, which every reader's browser would load; link to it instead")
    return text


def escape_images(text: str) -> str:
    """The text with its image syntax escaped, so that it is shown literally. The UI already escapes HTML tags."""
    return _IMAGE.sub(r"!\\", text)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table of plain text. The first column is text, the others are numbers."""
    lines = [header, ["---", *["--:"] * (len(header) - 1)], *([escape(row[0]), *row[1:]] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escape(text: str) -> str:
    """Text of one line that Markdown shows literally."""
    return _SPECIAL.sub(r"\\\g<0>", text)
