"""The referrers that make a traffic channel of their own (search, social, ...), read from `referrer_sources.yaml`.

How source and medium together decide the channel of a visit is in `sql/events.sql`.
"""

import string
from functools import cache
from importlib import resources
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


@cache
def referrer_sources() -> "pa.Table":
    """The list as a table: `source` (a host, or a name as in `utm_source`; unique, lower case) and its `category`."""
    import pyarrow as pa
    import yaml

    text = (resources.files(__package__ or "") / "referrer_sources.yaml").read_text(encoding="utf-8")
    categories = {
        host: category
        for category, groups in yaml.safe_load(text).items()
        for group in groups
        for source in group
        for host in _spell_out(source)
    }
    return pa.table({"source": list(categories), "category": list(categories.values())})


def _spell_out(source: str) -> list[str]:
    """The hosts that an entry means; any two letters count as a country, which saves a list of countries."""
    stem, wildcard, _ = source.partition("*")
    if not wildcard:
        return [source]
    countries = ["".join(letters) for letters in product(string.ascii_lowercase, repeat=2)]
    return [stem + ending for ending in ("com", *(f"{level}{c}" for level in ("", "co.", "com.") for c in countries))]
