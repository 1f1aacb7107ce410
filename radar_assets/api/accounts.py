"""Users, tokens, sessions and the audit log of the store, as the web application uses them. They are kept in `access/`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from radar_assets.access import audit, browser_sessions, outside_logins, tokens, users
from radar_assets.access.roles import Principal, Role
from radar_assets.api.local_access import LocalAccess
from radar_assets.store.database import Store


class LoginRefusedError(Exception):
    """Name or password are wrong, there were too many attempts, or a login elsewhere has failed.

    Attributes:
        status: of the response.
        wait_s: seconds after which another attempt is possible.
    """

    def __init__(self, status: int, reason: str, wait_s: int = 0) -> None:
        super().__init__(reason)
        self.status, self.wait_s = status, wait_s


@dataclass(frozen=True)
class Accounts:
    """The accounts of a store. The methods block.

    Attributes:
        local: the token of commands on this machine.
    """

    store: Store
    local: LocalAccess

    def find_token(self, token: str) -> Principal | None:
        """Who a token stands for."""
        return self.local.find_token(token) or tokens.find_principal(self.store, token)

    def find_session(self, secret: str) -> Principal | None:
        """Who has a session."""
        return browser_sessions.principal_of(self.store, secret)

    def has_users(self) -> bool:
        """Whether someone can log in with a password."""
        return bool(users.list_users(self.store))

    def log_in(self, name: str, password: str, address: str) -> tuple[str, Principal]:
        """Start a session by password. Returns its secret and user.

        Raises:
            LoginRefusedError: it is refused.
        """
        try:
            return self._started(browser_sessions.log_in(self.store, name, password, address))
        except browser_sessions.LoginError as error:
            raise LoginRefusedError(401, f"{error}.") from error
        except browser_sessions.TooManyAttemptsError as error:
            raise LoginRefusedError(429, f"{error}.", error.wait_s) from error

    def log_in_elsewhere(self, person: outside_logins.OutsidePerson, address: str) -> tuple[str, Principal]:
        """Start a session of a person whom a provider has identified. Returns its secret and user.

        Raises:
            LoginRefusedError: they are not admitted.
        """
        try:
            return self._started(outside_logins.log_in_elsewhere(self.store, person, address))
        except browser_sessions.LoginError as error:
            raise LoginRefusedError(403, str(error)) from error

    def admit(self, person: outside_logins.OutsidePerson, address: str) -> Principal:
        """What a person may do whom a proxy has identified.

        Raises:
            LoginRefusedError: they are not admitted.
        """
        try:
            return outside_logins.admit(self.store, person, address)
        except browser_sessions.LoginError as error:
            raise LoginRefusedError(403, str(error)) from error

    def redeem(self, link: str) -> tuple[str, Principal]:
        """Start a session by the secret of a one-time link.

        Raises:
            LoginRefusedError: it is unknown, used or expired.
        """
        try:
            return self._started(browser_sessions.use_login_link(self.store, link))
        except browser_sessions.LoginError as error:
            raise LoginRefusedError(403, "The link was used before or has expired.") from error

    def log_out(self, secret: str) -> None:
        """End a session."""
        browser_sessions.log_out(self.store, secret)

    def record(
        self,
        principal: Principal | None,
        action: str,
        target: str,
        *,
        result: str,
        address: str,
        details: Mapping[str, Any],
    ) -> None:
        """Add a line to the audit log; arguments as of `Record`."""
        who = principal or Principal("user", "", "nobody", Role.VIEWER)
        audit.record(self.store, who, action, target, address=address, result=result, details=details)

    def _started(self, secret: str) -> tuple[str, Principal]:
        principal = self.find_session(secret)
        if principal is None:  # disabled at the same moment
            raise browser_sessions.LoginError
        return secret, principal
