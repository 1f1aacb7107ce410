"""What the audit log keeps of details: their structure, without secrets, and not more than a page of text."""

import json
import re
from collections.abc import Mapping
from itertools import islice
from typing import Any

import yaml

from radar_assets.masking import masked

MAX_TEXT = 500
MAX_ITEMS = 100
MAX_DEPTH = 12
_MASK = "***"
# "key" alone is the name of a tag or of a concurrency pool.
_SECRET = re.compile(
    r"auth|cred|cookie|pass(w|phrase|$)|pwd|secret|token|signature|(api|access|private|write|read)[_-]?key",
    re.IGNORECASE,
)
_DOCUMENTS = frozenset({"runConfigData"})
"""Arguments that hold JSON or YAML as text."""


def audit_details(value: Any, depth: int = 0) -> Any:
    """A copy of JSON in which values with names like secrets, and secrets in URLs, are replaced by `***`, and long parts are cut."""
    if depth > MAX_DEPTH:
        return "..."
    if isinstance(value, Mapping):
        # A tag is a pair of key and value.
        names_secret = isinstance(value.get("key"), str) and _SECRET.search(value["key"])
        return {
            str(name)[:MAX_TEXT]: _MASK
            if _SECRET.search(str(name)) or (names_secret and name == "value")
            else _document(each, depth)
            if name in _DOCUMENTS and isinstance(each, str)
            else audit_details(each, depth + 1)
            for name, each in islice(value.items(), MAX_ITEMS)
        }
    if isinstance(value, list | tuple | set):
        kept = [audit_details(each, depth + 1) for each in islice(value, MAX_ITEMS)]
        return kept if len(kept) == len(value) else [*kept, f"... {len(value) - len(kept)} more"]
    if isinstance(value, str):
        text = masked(value)
        return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}..."
    return value


def _document(text: str, depth: int) -> Any:
    try:
        found = yaml.safe_load(text)
        json.dumps(found)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):
        return _MASK
    return audit_details(found, depth + 1) if isinstance(found, dict | list) else _MASK if found else found
