"""On the `PYTHONPATH` of a process, takes away every sync of its: what a power cut then loses shows what the syncs are for."""

import os

os.fsync = os.fdatasync = lambda _: None
