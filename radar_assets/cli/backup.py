"""`radar backup` and `radar restore`: copies of the databases."""

from pathlib import Path

from radar_assets.cli.auditing import audit
from radar_assets.cli.terminal import counted, out, printable, size


def backup(folder: Path, /) -> None:
    """Back up the store, the Iceberg catalog, Dagster's storage and the key of the audit log, while Radar runs or not.

    Copy the landing zone and the warehouse with a tool of your choice, after this command. See docs/operations/backup.md.

    Parameters
    ----------
    folder
        New folder for the backup.
    """
    from radar_assets.operations.backup import back_up
    from radar_assets.settings import load_settings
    from radar_assets.store.database import open_store

    settings = load_settings().prepare()
    files = back_up(settings, folder.absolute())
    audit(open_store(settings.database), "backup.create", str(folder.absolute()))
    total = size(sum(file.stat().st_size for file in files))
    out().print(f"Backed up {counted(len(files), 'file')}, {total}, to {folder}.", markup=False, soft_wrap=True)


def restore(folder: Path, /) -> None:
    """Restore a backup. Stop Radar first.

    Each table opens at the newest state that its files allow. What is missing is loaded again from the landing zone.

    Parameters
    ----------
    folder
        Folder that radar backup made.
    """
    from radar_assets.operations.backup import REPLACED
    from radar_assets.operations.backup import restore as restore_from
    from radar_assets.settings import load_settings
    from radar_assets.store.database import open_store
    from radar_assets.tables import open_lakehouse

    settings = load_settings().prepare()
    console = out()
    recoveries = restore_from(settings, folder.absolute(), open_lakehouse(settings))
    # In the restored log: that of before is in the replaced database.
    audit(open_store(settings.database), "backup.restore", str(folder.absolute()))
    for name, found in recoveries.items():
        state = found[-1].reason if found else "as in the backup"
        console.print(f"{name}: {printable(state)}", markup=False, soft_wrap=True)
    note = f"Restored {folder}. The replaced databases are in {settings.home / REPLACED}."
    console.print(note, markup=False, soft_wrap=True)
