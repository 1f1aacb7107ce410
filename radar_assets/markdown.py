"""Texts of teams where Dagster's UI shows them as Markdown: they load no image, which would tell its host who looks at them."""

import re

# Every way to write an image in Markdown, with an address or with a reference, begins so.
_IMAGE = re.compile(r"!(?=\[)")
_TAG = re.compile(
    r"<\s*(?:audio|embed|frame|iframe|image|img|input|link|object|picture|source|style|svg|video)\b", re.I
)


def refuse_images(text: str) -> str:
    """A text as it is.

    Raises:
        ValueError: it contains an image.
    """
    if _IMAGE.search(text) or _TAG.search(text):
        raise ValueError("contains an image, which the browser of every reader would load; describe it or link to it")
    return text


def escape_images(text: str) -> str:
    """A text in which images are shown as they are written. Tags need nothing: the UI shows those so anyway."""
    return _IMAGE.sub(r"!\\", text)
