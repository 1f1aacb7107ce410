"""People with a shell on this machine, as the user of the operating system. They own the home, so they may do everything."""

import getpass
import os

from radar_assets.access.roles import Principal, Role


def shell_user() -> str:
    """Name of the user of the operating system; the id if it has no name, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def shell_principal() -> Principal:
    """Who runs this process."""
    return Principal("shell", str(os.getuid()), shell_user(), Role.ADMIN)
