"""Disables every sync of a process that has this folder in its `PYTHONPATH`, to show what a power cut loses without syncs."""

import os

os.fsync = os.fdatasync = lambda _: None
