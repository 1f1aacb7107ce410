"""Access for people with a shell on this machine, who own the home anyway: a token for commands, and one-time links to log in.

Token, links and sessions live as long as the server's process. The token is in a file of the home that only its owner can read.
"""

import getpass
import secrets
import threading
import time

from radar_assets.access.roles import Principal, Role
from radar_assets.api.routing import is_same

LINK_S = 12 * 3600
"""How long a link can be used: the one that `radar dev` prints is on the screen all day."""
SESSION_S = 7 * 86400


class LocalAccess:
    """The token, links and sessions of one server.

    Attributes:
        token: what commands send.
    """

    def __init__(self) -> None:
        self.token = f"local_{secrets.token_urlsafe(32)}"
        self._principal = Principal("shell", "shell", _user(), Role.ADMIN)
        self._links: dict[str, float] = {}
        self._sessions: dict[str, float] = {}
        self._lock = threading.Lock()

    def find_token(self, token: str) -> Principal | None:
        """Who sends a token: the shell, or None for another token."""
        return self._principal if is_same(token, self.token) else None

    def find_session(self, secret: str) -> Principal | None:
        """Who has the session of a secret; None if it has ended."""
        with self._lock:
            return self._principal if self._sessions.get(secret, 0) > time.monotonic() else None

    def make_link(self) -> str:
        """The secret of a new link."""
        secret = secrets.token_urlsafe(16)
        with self._lock:
            self._links[secret] = time.monotonic() + LINK_S
        return secret

    def redeem(self, link: str) -> tuple[str, Principal] | None:
        """Start a session by the secret of a link; None if it is unknown, used or expired."""
        now = time.monotonic()
        with self._lock:
            if self._links.pop(link, 0) <= now:
                return None
            self._sessions = {secret: end for secret, end in self._sessions.items() if end > now}
            secret = secrets.token_urlsafe(32)
            self._sessions[secret] = now + SESSION_S
            return secret, self._principal

    def log_out(self, secret: str) -> None:
        """End a session."""
        with self._lock:
            self._sessions.pop(secret, None)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in some containers
        return "shell"
