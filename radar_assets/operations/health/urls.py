"""URLs that health checks request, as teams declare them in `radar.yaml`."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator


class WatchedUrl(BaseModel):
    """A URL that the health checks request.

    Attributes:
        name: shown as the component `url NAME`.
        url: must answer a GET with a status from 200 to 299. Redirects are not followed.
        timeout_s: time limit in seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: Annotated[str, Field(min_length=1, max_length=60)]
    url: Annotated[str, Field(max_length=2000)]
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 10

    @field_validator("name")
    @classmethod
    def _is_name(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 ._-]*", name):
            raise ValueError("must have letters, digits, spaces, dots, dashes and underscores only")
        return name

    @field_validator("url")
    @classmethod
    def _is_url(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            is_valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_valid = False
        if not is_valid or re.search(r"[\x00-\x20\x7f]", url):
            raise ValueError("not a URL; use e.g. https://shop.example/healthz")
        if parts.username or parts.password:
            raise ValueError("contains a user or a password, which would be shown; remove them")
        return url
