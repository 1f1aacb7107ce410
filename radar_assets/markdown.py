"""Makes text that users write safe for Dagster's UI, which shows it as Markdown: a remote image would reveal each reader."""

import re

# Every Markdown image starts like this, whether with an address or a reference.
_IMAGE = re.compile(r"!(?=\[)")
_TAG = re.compile(
    r"<\s*(?:audio|embed|frame|iframe|image|img|input|link|object|picture|source|style|svg|video)\b", re.I
)


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
