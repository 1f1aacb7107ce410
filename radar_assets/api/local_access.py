"""Access for commands of people with a shell on this machine: a token that lives as long as the server.

The token is in a file of the home that only its owner can read.
"""

import secrets

from radar_assets.access.roles import Principal
from radar_assets.access.shell import shell_principal
from radar_assets.api.routing import is_same


class LocalAccess:
    """The token of one server.

    Attributes:
        token: what commands send.
    """

    def __init__(self) -> None:
        self.token = f"local_{secrets.token_urlsafe(32)}"
        self._principal = shell_principal()

    def find_token(self, token: str) -> Principal | None:
        """Who sends a token: the shell, or None for another token."""
        return self._principal if is_same(token, self.token) else None
