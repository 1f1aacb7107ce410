"""`radar audit`: the log of who did what, and whether it is intact."""

import json

from cyclopts import App

from radar_assets.cli.listing import Column, Format, print_list
from radar_assets.cli.projects import open_projects
from radar_assets.cli.terminal import OPTIONS, counted, err, out, printable

audit_app = App(name="audit", help="List the audit log, and verify it.", group_parameters=OPTIONS)


@audit_app.command(name="list")
def list_them(*, project: str | None = None, limit: int = 50, format: Format = "table") -> None:
    """List who did what, the latest first.

    Parameters
    ----------
    project
        Only entries about this project.
    limit
        Maximum number of entries.
    format
        Output format.
    """
    from radar_assets.access.audit import list_entries

    columns = [
        Column("number", rank=3),
        Column("at"),
        Column("principal_kind", heading="as", rank=4),
        Column("principal_id", only="data"),
        Column("principal_name", heading="who"),
        Column("action"),
        Column("object"),
        Column("project_id", heading="project", rank=2, optional=True),
        Column("address", heading="from", rank=2, optional=True),
        Column("result", rank=1),
        Column("details", only="data"),
        Column("hash", only="data"),
    ]
    entries = list_entries(open_projects(), limit=limit, project_id=project)
    fields = [column.name for column in columns]
    rows = (
        [json.loads(entry.details) if field == "details" else getattr(entry, field) for field in fields]
        for entry in entries
    )
    print_list(columns, rows, format, empty="The audit log is empty.")


@audit_app.command
def verify() -> int:
    """Check that no entry was changed, removed, inserted or reordered. The exit code is 1 if one was.

    The number and the hash that are printed identify all entries up to now. Keep them elsewhere to detect a log that was replaced as a
    whole.
    """
    from radar_assets.access import audit
    from radar_assets.settings import load_settings

    store = open_projects()
    if fault := audit.verify(store, audit.signing_key(load_settings().home)):
        err().print(f"The audit log is not intact: {printable(fault)}.", style="red", markup=False)
        return 1
    number, hash = audit.head(store)
    out().print(f"The audit log is intact: {counted(number, 'entry', 'entries')} so far. {hash}".strip(), markup=False)
    return 0
