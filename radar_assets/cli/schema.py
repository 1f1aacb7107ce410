"""`radar schema`: the JSON schema of `radar.yaml`, for editors."""

import sys
from importlib import resources


def schema() -> None:
    """Print the JSON schema of radar.yaml, for completion and validation in editors."""
    sys.stdout.write((resources.files("radar_assets") / "radar.schema.json").read_text(encoding="utf-8"))
