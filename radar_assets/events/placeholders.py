"""Texts that programs send where an id is missing. Used as ids, they would make one person of many strangers.

The lists draw on those of PostHog (illegal distinct ids) and on what SDKs, template engines and phones are known to send.
"""

import re


def _any_case(word: str) -> str:
    """A pattern that matches a word in any case, in all dialects of regular expressions."""
    return "".join(f"[{letter}{letter.upper()}]" if letter.isalpha() else re.escape(letter) for letter in word)


_NOTHING = (
    "undefined", "null", "nil", "none", "nan", "(null)", "<null>", "void", "(none)", "(empty)", "empty", "unset", "(not set)",
    "not set", "not_set", "n/a", "missing",
)  # fmt: skip
_NO_PERSON = (
    "anonymous", "anon", "guest", "unknown", "unidentified", "unauthenticated", "not_authenticated", "not authenticated", "no_user",
    "nouser", "no user", "anonymous_user", "anonymoususer", "anonymous user", "guest_user", "true", "false", "-1", "id", "user_id",
    "userid", "user id", "anonymous_id", "anonymousid", "distinct_id", "distinctid", "visitor_id", "device_id", "deviceid", "email",
    "your_user_id", "optout", "opt-out", "opted_out",
)  # fmt: skip
_PATTERNS = (
    # An object or a function in place of its value; a template that was not filled in; RFC 9562's nil and max UUID.
    rf"\[{_any_case('object')} [A-Za-z]+\]", rf"{_any_case('function')} ?\(.*", r"\{\{.*\}\}", r"\$\{.*\}", r"<%.*%>",
    r"%[A-Za-z_]+%", r"\{[A-Za-z_]+\}",
    r"[0-]*0{8}-?0{4}-?0{4}-?0{4}-?0{12}", r"[fF]{8}-?[fF]{4}-?[fF]{4}-?[fF]{4}-?[fF]{12}",
)  # fmt: skip
# Any number of zeros and dashes, such as an advertising id that the user has disabled; an Android id that many phones share.
_PATTERNS_OF_PEOPLE = (r"[0-]*0[0-]*", _any_case("9774d56d682e549c"))
_EDGE = "[ \\t\\r\\n\"'`]*"


def _pattern(words: tuple[str, ...], patterns: tuple[str, ...]) -> str:
    return f"{_EDGE}(?:{'|'.join([*map(_any_case, words), *patterns])})?{_EDGE}"


NO_EVENT_ID = _pattern(_NOTHING, _PATTERNS)
"""What is not an event's id, including blank text. `0` is one, since files have numbered rows."""
NO_PERSON_ID = _pattern(_NOTHING + _NO_PERSON, _PATTERNS + _PATTERNS_OF_PEOPLE)
"""What is not an id of a user, a device or a session, including blank text."""


def in_javascript(pattern: str) -> str:
    """One of these patterns for `/^...$/i`, where letters need not be given in both cases."""
    return re.sub(r"\[([a-z])[A-Z]\]", r"\1", pattern).replace("/", r"\/")
