"""`radar token`: the tokens with which programs call the API."""

import sys

from cyclopts import App

from radar_assets.access.shell import shell_user
from radar_assets.cli.arguments import Span
from radar_assets.cli.auditing import audit
from radar_assets.cli.listing import Column, Format, print_list
from radar_assets.cli.projects import open_projects
from radar_assets.cli.terminal import OPTIONS, err, is_terminal, out, printable, radar_command
from radar_assets.cli.users import Projects, RoleName
from radar_assets.windows import utc_now

token_app = App(name="token", help="Create, rotate, revoke and list tokens of the API.", group_parameters=OPTIONS)


@token_app.command
def create(name: str, /, *, role: RoleName = "viewer", projects: Projects = None, expires: Span | None = None) -> None:
    """Create a token and print it. It is not shown again.

    Parameters
    ----------
    name
        What the token is for, e.g. deploy. The audit log shows it.
    role
        viewer: read. operator: also start runs and acknowledge alerts. admin: also change users, tokens and projects.
    projects
        Project that the role is for. Can be repeated. Default: all projects.
    expires
        Invalid after this time, such as 90d. Default: never.
    """
    from radar_assets.access.roles import Role
    from radar_assets.access.tokens import create_token
    from radar_assets.alerts.rules import parse_span

    store = open_projects()
    expires_at = utc_now() + parse_span(expires) if expires else None
    token, row = create_token(store, name, Role(role), projects, created_by=shell_user(), expires_at=expires_at)
    audit(store, "token.create", row.name, id=row.id, role=row.role, projects=row.projects, expires_at=expires_at)
    _print_once(token, row.name)


@token_app.command
def rotate(id: str, /, *, overlap: Span = "24h") -> None:
    """Create the successor of a token and print it. The old one stays valid for a while.

    Parameters
    ----------
    id
        Id of the token, as shown by radar token list, or the start of it.
    overlap
        How long the old token stays valid.
    """
    from radar_assets.access.tokens import rotate_token
    from radar_assets.alerts.rules import parse_span

    store = open_projects()
    token, row = rotate_token(store, id, created_by=shell_user(), overlap=parse_span(overlap))
    audit(store, "token.rotate", row.name, id=row.id, previous_id=id, overlap=overlap)
    _print_once(token, row.name)


@token_app.command
def revoke(id: str, /) -> None:
    """Revoke a token. It stops working at once.

    Parameters
    ----------
    id
        Id of the token, as shown by radar token list, or the start of it.
    """
    from radar_assets.access.tokens import revoke_token

    store = open_projects()
    row = revoke_token(store, id)
    audit(store, "token.revoke", row.name, id=row.id)
    out().print(f"Revoked token {row.id}, {printable(row.name)}.", markup=False)


@token_app.command(name="list")
def list_them(*, format: Format = "table") -> None:
    """List the tokens, without their values.

    Parameters
    ----------
    format
        Output format.
    """
    from radar_assets.access.tokens import list_tokens

    columns = [
        Column("id"),
        Column("name"),
        Column("role"),
        Column("projects", cell=lambda ids: "all" if ids is None else ", ".join(ids), rank=2),
        Column("created_by", heading="by", rank=4),
        Column("created_at", heading="since", cell="{:%Y-%m-%d}".format, rank=3),
        Column("expires_at", heading="expires", cell=lambda at: f"{at:%Y-%m-%d %H:%M}" if at else "never", rank=1),
        Column("replaced_at", only="data"),
        Column("revoked_at", heading="revoked", cell=lambda at: f"{at:%Y-%m-%d}" if at else ""),
    ]
    rows = ([getattr(token, column.name) for column in columns] for token in list_tokens(open_projects()))
    print_list(columns, rows, format, empty=f"No tokens yet; create one with {radar_command()} token create NAME.")


def _print_once(token: str, name: str) -> None:
    if is_terminal(sys.stdout):
        err().print(f"New token {printable(name)}, not shown again:", markup=False)
    print(token)
