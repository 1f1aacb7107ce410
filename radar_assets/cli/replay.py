"""`radar replay-rejected`: lands rejected lines again that the contract accepts now."""

from datetime import UTC, datetime

from radar_assets.cli.auditing import audit
from radar_assets.cli.listing import Column, print_list
from radar_assets.cli.terminal import out, radar_command


def replay_rejected(
    *, reason: str | None = None, since: datetime | None = None, project: str | None = None, dry_run: bool = False
) -> None:
    """Land rejected lines again once they are valid, such as after their project was added.

    Parameters
    ----------
    reason
        Only lines rejected for this reason, e.g. unknown_project.
    since
        Only lines received in this hour or later (UTC), e.g. 2026-11-02T03:00.
    project
        Only lines of this project.
    dry_run
        Count the lines without landing them.
    """
    from radar_assets.access.projects import list_projects
    from radar_assets.events.replay import replay_rejected
    from radar_assets.settings import load_settings
    from radar_assets.store.database import open_store
    from radar_assets.tables import open_lakehouse

    settings = load_settings().prepare()
    if since and since.tzinfo:
        since = since.astimezone(UTC).replace(tzinfo=None)
    store = open_store(settings.database)
    projects = [each.id for each in list_projects(store)]
    replay = replay_rejected(
        open_lakehouse(settings), projects, reason=reason, project=project, since=since, dry_run=dry_run
    )
    if not dry_run:
        landed = {"path": str(replay.segment.path), "is_new": replay.is_new} if replay.segment else {}
        chosen = {"reason": reason, "since": since}
        audit(store, "replay-rejected", project or "all projects", project_id=project, **chosen, **landed)
    console = out()
    if not replay.counts:
        console.print("No matching rejected lines.")
        return
    columns = [Column("rejected for")]
    columns += [Column(heading) for heading in ("lines", "still rejected", "accepted before", "accepted now")]
    rows = []
    for rejected_for in sorted({reason for reason, _ in replay.counts}):
        rejected, copies, accepted = (
            replay.counts.get((rejected_for, outcome), 0) for outcome in ("rejected", "copy", "accepted")
        )
        rows.append((rejected_for, rejected + copies + accepted, rejected, copies, accepted))
    print_list(columns, rows)
    if dry_run:
        console.print("Dry run: nothing was landed.")
    elif replay.segment is None:
        console.print("Nothing to land.")
    elif replay.is_new:
        console.print(f"Landed as {replay.segment.path}", markup=False, soft_wrap=True)
        console.print(f"Next: {radar_command()} dev loads it.")
    else:
        console.print(f"An earlier replay landed them as {replay.segment.path}", markup=False, soft_wrap=True)
