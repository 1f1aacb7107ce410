"""`radar init`: writes a `radar.yaml` to start from."""

from importlib import resources

from radar_assets.cli.terminal import out, radar_command
from radar_assets.errors import UsageError


def init(*, force: bool = False) -> None:
    """Write a radar.yaml to start from: an alert rule, and commented examples of metrics, channels and rules.

    Parameters
    ----------
    force
        Overwrite an existing file.
    """
    from radar_assets.settings import load_settings

    path = load_settings().prepare().config_file
    text = (resources.files("radar_assets.cli") / "starter.yaml").read_text(encoding="utf-8")
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} exists already; --force overwrites it") from None
    console = out()
    console.print(f"Wrote {path}.", markup=False)
    console.print(
        f"Next: edit it, then run {radar_command()} apply.\n"
        f"{radar_command()} rules test traffic_dropped shows when the rule would have fired."
    )
