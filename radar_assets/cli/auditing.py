"""How commands that change something write to the audit log: as the user of the operating system, who owns the home."""

from typing import TYPE_CHECKING, Any

from radar_assets.access.shell import shell_principal

if TYPE_CHECKING:
    from radar_assets.store.database import Store


def audit(store: "Store", action: str, object: str, *, project_id: str | None = None, **details: Any) -> None:
    """Record what a command has done.

    Args:
        action: noun and verb of the command, such as `key.revoke`.
        object: what it was done to.
        details: values of interest, without secrets.
    """
    from radar_assets.access.audit import record

    record(store, shell_principal(), action, object, project_id=project_id, details=details)
