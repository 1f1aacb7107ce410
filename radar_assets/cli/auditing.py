"""How commands that change something write to the audit log: as the user of the operating system, who owns the home."""

import getpass
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from radar_assets.access.roles import Principal
    from radar_assets.store.database import Store


def shell_user() -> str:
    """Name of the user of the operating system; the id if it has no name, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def shell_principal() -> "Principal":
    """Who runs this command."""
    from radar_assets.access.roles import Principal, Role

    return Principal("shell", str(os.getuid()), shell_user(), Role.ADMIN)


def audit(store: "Store", action: str, object: str, *, project_id: str | None = None, **details: Any) -> None:
    """Record what a command has done.

    Args:
        action: noun and verb of the command, such as `key.revoke`.
        object: what it was done to.
        details: values of interest, without secrets.
    """
    from radar_assets.access.audit import record

    record(store, shell_principal(), action, object, project_id=project_id, details=details)
