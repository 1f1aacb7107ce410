"""URLs as they may be shown, in messages, logs and reports: without the secrets in them."""

import re
from urllib.parse import unquote

from pydantic import SecretStr

_MASK = "***"
# Up to the last @, since passwords have been seen to hold one. What lacks its scheme is not a URL, but may well hold a password.
_USERINFO = re.compile(r"(?<=://)(?!/).*@|\A[^:@/]*:(?!//).*@", re.DOTALL)
_PARAMETER = re.compile(r"(?<=[?&;])([^=?&;]*)=[^&]*")
_SECRET_NAME = re.compile(r"auth|cred|key|pass|pwd|secret|sig|token", re.IGNORECASE)


def masked(value: object) -> str:
    """A URL, or any other value of a setting, without users, passwords and query parameters that are named like secrets."""
    text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    return _PARAMETER.sub(_masked, _USERINFO.sub(f"{_MASK}@", text, count=1))


def _masked(parameter: re.Match[str]) -> str:
    return f"{parameter[1]}={_MASK}" if _SECRET_NAME.search(unquote(parameter[1])) else parameter[0]
