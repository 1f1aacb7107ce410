"""Makes files durable: their contents and names are on disk before anything refers to them."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SYNC_THREADS = 16
"""Syncs that wait at the same time share a write of the file system's journal: 500 new files take 0.1 s instead of 2 s."""


def sync_file(path: Path) -> None:
    """Make the content of a file durable.

    Raises:
        OSError: the file doesn't exist or can't be synced.
    """
    _sync(path, os.O_RDONLY)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable.

    Raises:
        OSError: the folder doesn't exist or can't be synced.
    """
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def sync_files(files: Iterable[Path], root: Path) -> None:
    """Make files durable, with the folders that lead to them from `root`.

    Raises:
        OSError: a file or folder doesn't exist or can't be synced.
    """
    files = list(files)
    folders = {folder for file in files for folder in file.parents if folder.is_relative_to(root)}
    if not files:
        return
    with ThreadPoolExecutor(min(SYNC_THREADS, len(files) + len(folders))) as threads:
        # Contents first: a name on disk without its content would be an empty file.
        list(threads.map(sync_file, files))
        list(threads.map(sync_folder, folders))


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
