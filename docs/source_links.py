"""A Markdown extension for the site: links to files outside of docs/, which work only on code hosts, become plain text."""

import re
from pathlib import Path
from xml.etree.ElementTree import Element

from markdown import Markdown
from markdown.extensions import Extension
from markdown.treeprocessors import Treeprocessor

DOCS = Path(__file__).parent


class SourceLinks(Extension):
    """The extension. `zensical.toml` refers to its module."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 - the name is Markdown's
        """Register the processor after those that create links."""
        md.treeprocessors.register(_SourceLinks(md), "source_links", 0)


class _SourceLinks(Treeprocessor):
    def run(self, root: Element) -> None:
        for link in root.iter("a"):
            target = re.sub(r"^(\.\./)+", "", link.get("href", "")).partition("#")[0]
            if target and not (DOCS / target).exists() and (DOCS.parent / target).exists():
                link.tag = "span"
                del link.attrib["href"]


def makeExtension(**options: object) -> SourceLinks:  # noqa: N802 - the name is Markdown's
    """The entry point that Markdown looks for."""
    return SourceLinks(**options)
