"""Access logs of web servers: which requests are page views, and the canonical events of all of them."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from radar_assets.events.import_formats import Batch, Importing, split_lines
from radar_assets.events.import_sources import Block, ImportFailedError

_FILES = (
    "css|js|mjs|map|json|xml|txt|csv|rss|atom|webmanifest|wasm|gif|jpe?g|jpe|png|bmp|ico|cur|svgz?|webp|avif|tiff?|heic|woff2?|ttf|otf"
    "|eot|mp3|m4a|aac|oga|ogg|ogv|wav|flac|mp4|m4v|m4s|ts|m3u8|mpd|mov|avi|wmv|mkv|webm|flv|swf|vtt|pdf|docx?|xlsx?|pptx?|od[tsp]|epub"
    "|zip|gz|tgz|bz2|xz|7z|rar|tar|dmg|exe|msi|apk|deb|rpm|iso|bin|jar|class|sql|log|bak|ini|ya?ml|env|lock|conf|xsl|pyc|gem"
)
_NO_PAGES = rf"(?i)\.(?:{_FILES})(?:;[^/]*)?$|^/(?:\.well-known|cdn-cgi)/"
"""Paths of files that pages load or link to, and of what only programs request."""


class AccessLog(NamedTuple):
    """How the requests of an access log are read.

    Attributes:
        site: base URL of the paths, such as `https://example.com`.
        pages: regular expression for the paths of pages; empty for all but those of styles, scripts, pictures and other files.
        keeps_others: whether requests that are not page views become events named `request`; otherwise they are left out.
    """

    site: str = ""
    pages: str = ""
    keeps_others: bool = True


def read_apache(blocks: Iterable[Block], importing: Importing, log: AccessLog) -> Iterator[Batch]:
    """The access log of a web server, in the common or combined format. Successful GETs of pages are page views."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if importing.fields.columns:
        raise ImportFailedError("access logs have fixed fields, so columns can't be mapped")
    if "project_id" not in importing.fields.constants:
        raise ImportFailedError("access logs don't name a project; set project_id to a constant")
    try:
        # By the same library that the engine matches with.
        pc.match_substring_regex(pa.array([""]), log.pages)  # pyright: ignore[reportAttributeAccessIssue]
    except pa.ArrowInvalid as error:
        raise ImportFailedError(f"the pattern of pages is not a regular expression (RE2): {error}") from error
    for lines in split_lines(blocks):
        rows = importing.events("apache_records", {"lines": lines.table}, **log._asdict(), no_pages=_NO_PAGES)
        if rows.num_rows == len(lines.raw):
            yield lines.batch(rows)
        elif rows.num_rows:
            # The records that are left out are left out of both parts of the batch.
            numbers = lines.table["record_number"]
            kept = pc.is_in(numbers, value_set=rows["record_number"]).combine_chunks()  # pyright: ignore[reportAttributeAccessIssue]
            yield Batch(lines.raw.filter(kept), rows, lines.read_bytes)
