"""Which hosts belong to one site: those with the same registrable domain, by the public suffix list.

The list comes with `tldextract` and is never fetched. `sql/events.sql` compares the host of a referrer with that of the page.
"""

from collections import defaultdict
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa


WILDCARD_SUFFIXES = ("bd", "ck", "er", "fk", "jm", "kh", "mm", "np", "pg")
"""Top-level domains with a rule such as `*.ck`: every domain right under them is a public suffix."""


class SuffixRule(NamedTuple):
    """A rule of the list.

    Attributes:
        ending: how `.` and a host end to which the rule applies.
        labels: the labels of the host's public suffix.
    """

    ending: str
    labels: int


@cache
def public_suffixes() -> "pa.Table":
    """The rules of the list by `domain`, the last two labels of the hosts that they are about; its `rules`, the deciding one first.

    Rules about one label are left out, since hosts under any suffix have at least one. Under one of `WILDCARD_SUFFIXES`, `domain` is
    that suffix.
    """
    import pyarrow as pa
    from tldextract import TLDExtract

    extract = TLDExtract(suffix_list_urls=(), cache_dir=None, include_psl_private_domains=True)
    rules = defaultdict[str, set[SuffixRule]](set)
    for suffix in extract.tlds:
        for spelled in {suffix, _in_ascii(suffix)}:
            domain = spelled.removeprefix("!").removeprefix("*.")
            labels = domain.count(".") + 1 + spelled.startswith("*.") - spelled.startswith("!")
            if domain != spelled or labels > 1:
                names = domain.split(".")
                rules[names[-1] if names[-1] in WILDCARD_SUFFIXES else ".".join(names[-2:])].add(
                    SuffixRule(f".{domain}", labels)
                )
    ordered = {domain: sorted(found, key=lambda rule: -len(rule.ending)) for domain, found in rules.items()}
    kind = pa.list_(pa.struct([("ending", pa.string()), ("labels", pa.int32())]))
    return pa.table(
        {
            "domain": list(ordered),
            "rules": pa.array([[rule._asdict() for rule in found] for found in ordered.values()], kind),
        }
    )


def _in_ascii(suffix: str) -> str:
    """The suffix as browsers send it."""
    with suppress(UnicodeError):
        return suffix.encode("idna").decode()
    return suffix
