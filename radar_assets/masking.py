"""Masks the secrets in URLs, for messages, logs and reports."""

import re
from urllib.parse import unquote

from pydantic import SecretStr

_MASK = "***"
# Up to the last @, since passwords may contain one. Text without a scheme is not a URL, but may contain a password all the same.
_USERINFO = re.compile(r"(?<=://)(?!/).*@|\A[^:@/]*:(?!//).*@", re.DOTALL)
_PARAMETER = re.compile(r"(?<=[?&;])([^=?&;]*)=[^&]*")
_SECRET_NAME = re.compile(r"auth|cred|key|pass|pwd|secret|sig|token", re.IGNORECASE)


def masked(value: object) -> str:
    """A URL, or any other value of a setting, with users, passwords and query parameters named like secrets replaced by `***`."""
    text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    return _PARAMETER.sub(_masked, _USERINFO.sub(f"{_MASK}@", text, count=1))


def _masked(parameter: re.Match[str]) -> str:
    return f"{parameter[1]}={_MASK}" if _SECRET_NAME.search(unquote(parameter[1])) else parameter[0]
