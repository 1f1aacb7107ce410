"""`radar user`: the people who can log in to the UI and the API."""

import sys
from typing import Annotated, Literal

from cyclopts import App, Parameter

from radar_assets.cli.auditing import audit
from radar_assets.cli.listing import Column, Format, print_list
from radar_assets.cli.projects import open_projects
from radar_assets.cli.terminal import OPTIONS, is_terminal, out, printable, radar_command
from radar_assets.errors import UsageError

user_app = App(name="user", help="Add, change, disable and list users.", group_parameters=OPTIONS)

RoleName = Literal["viewer", "operator", "admin"]
"""Values of `access.roles.Role`, which the help can show without importing anything."""
Projects = Annotated[list[str] | None, Parameter(name="--project")]


class PasswordError(UsageError):
    """No password was entered, or the two entries differ."""


@user_app.command
def add(name: str, /, *, role: RoleName = "viewer", projects: Projects = None, password_stdin: bool = False) -> None:
    """Add a user. The password is asked for.

    Parameters
    ----------
    name
        Login name.
    role
        viewer: read. operator: also start runs and acknowledge alerts. admin: also change users, tokens and projects.
    projects
        Project that the role is for. Can be repeated. Default: all projects.
    password_stdin
        Read the password from standard input.
    """
    from radar_assets.access.roles import Role
    from radar_assets.access.users import add_user

    store = open_projects()
    user = add_user(store, name, read_password(stdin=password_stdin), Role(role), projects)
    audit(store, "user.add", user.name, id=user.id, role=user.role, projects=user.projects)
    out().print(f"Added {user.role} {printable(user.name)}.", markup=False)


@user_app.command
def set_password(name: str, /, *, password_stdin: bool = False) -> None:
    """Change the password of a user, and end their sessions. The password is asked for.

    Parameters
    ----------
    name
        Login name.
    password_stdin
        Read the password from standard input.
    """
    from radar_assets.access.users import set_password as change

    store = open_projects()
    user = change(store, name, read_password(stdin=password_stdin))
    audit(store, "user.set_password", user.name, id=user.id)
    out().print(f"Changed the password of {printable(user.name)}; their sessions have ended.", markup=False)


@user_app.command
def set_role(name: str, role: RoleName, /, *, projects: Projects = None) -> None:
    """Change the role of a user, and the projects that it is for.

    Parameters
    ----------
    name
        Login name.
    role
        viewer, operator or admin.
    projects
        Project that the role is for. Can be repeated. Default: all projects.
    """
    from radar_assets.access.roles import Role
    from radar_assets.access.users import set_role as change

    store = open_projects()
    user = change(store, name, Role(role), projects)
    audit(store, "user.set_role", user.name, id=user.id, role=user.role, projects=user.projects)
    where = "all projects" if user.projects is None else ", ".join(user.projects)
    out().print(f"{printable(user.name)} is now {user.role} of {printable(where)}.", markup=False)


@user_app.command
def disable(name: str, /) -> None:
    """Lock a user out. Their sessions end at once.

    Parameters
    ----------
    name
        Login name.
    """
    from radar_assets.access.users import disable_user

    store = open_projects()
    user = disable_user(store, name)
    audit(store, "user.disable", user.name, id=user.id)
    out().print(f"Disabled {printable(user.name)}; their sessions have ended.", markup=False)


@user_app.command
def enable(name: str, /) -> None:
    """Let a disabled user log in again.

    Parameters
    ----------
    name
        Login name.
    """
    from radar_assets.access.users import enable_user

    store = open_projects()
    user = enable_user(store, name)
    audit(store, "user.enable", user.name, id=user.id)
    out().print(f"{printable(user.name)} can log in again.", markup=False)


@user_app.command
def link(name: str, subject: str | None = None, /, *, proxy: bool = False, remove: bool = False) -> None:
    """Let a person whom the OpenID provider or the proxy identifies log in as an existing user.

    Parameters
    ----------
    name
        Login name.
    subject
        Subject (sub) of the person at the OpenID provider of RADAR_OIDC_ISSUER.
    proxy
        The person is whom the proxy calls by the login name.
    remove
        Remove the link that the user has.
    """
    from radar_assets.access.outside_logins import link_user, oidc_subject, proxy_subject
    from radar_assets.settings import load_settings

    if [subject is not None, proxy, remove].count(True) != 1:
        raise UsageError("give either a subject, --proxy or --remove")
    issuer = load_settings().oidc_issuer
    if subject is not None and issuer is None:
        raise UsageError("RADAR_OIDC_ISSUER is not set, so that it is unknown whose subject that is")
    whole = None if remove else proxy_subject(name) if proxy else oidc_subject(f"{issuer}", f"{subject}")
    store = open_projects()
    user = link_user(store, name, whole)
    audit(store, "user.link", user.name, id=user.id, subject=whole)
    out().print(f"{printable(user.name)} {'has no link' if remove else 'is linked'} now.", markup=False)


@user_app.command
def login_link() -> None:
    """Print a link with which one browser can log in as an admin, once, within 15 minutes."""
    from radar_assets.cli.ui_address import find_ui
    from radar_assets.cli.ui_address import login_link as make
    from radar_assets.settings import load_settings

    settings = load_settings().prepare()
    url = settings.ui_url or find_ui(settings)
    if url is None:
        raise UsageError(f"no UI of this home runs on this machine; start it with {radar_command()} serve")
    link = make(settings, url)
    audit(open_projects(), "user.login_link", url)
    out().print(link, markup=False, soft_wrap=True, highlight=False)


@user_app.command(name="list")
def list_them(*, format: Format = "table") -> None:
    """List the users.

    Parameters
    ----------
    format
        Output format.
    """
    from radar_assets.access.users import list_users

    columns = [
        Column("name"),
        Column("role"),
        Column("projects", cell=lambda ids: "all" if ids is None else ", ".join(ids), rank=1),
        Column("created_at", heading="since", cell="{:%Y-%m-%d}".format, rank=2),
        Column("disabled_at", heading="disabled", cell=lambda at: f"{at:%Y-%m-%d}" if at else ""),
        Column("id", only="data"),
    ]
    rows = ([getattr(user, column.name) for column in columns] for user in list_users(open_projects()))
    print_list(columns, rows, format, empty=f"No users yet; add one with {radar_command()} user add NAME --role admin.")


def read_password(*, stdin: bool) -> str:
    """The password that is entered, twice in a terminal.

    Raises:
        PasswordError: there is no terminal, or the entries differ.
    """
    from getpass import getpass

    if stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not is_terminal(sys.stdin):
        raise PasswordError("no terminal to ask for the password in; pass it on standard input with --password-stdin")
    password = getpass("Password: ")
    if getpass("Again: ") != password:
        raise PasswordError("the passwords differ; nothing was changed")
    return password
