"""`radar doctor`: diagnoses the setup, from settings to projects, and suggests fixes."""

from radar_assets.cli.diagnoses import Finding, diagnose
from radar_assets.cli.listing import Column, Format, print_list
from radar_assets.cli.terminal import out, printable

_COLOURS = {"warning": "yellow", "error": "bold red"}
_HEADINGS = {
    "setting": "Settings that differ from the default",
    "ok": "Passed",
    "default": "Settings with their default",
}
_ORDER = {level: place for place, level in enumerate(("error", "warning", *_HEADINGS))}
_ONLY_WITH_ALL = ("ok", "default")


def doctor(*, repair: bool = False, all: bool = False, format: Format = "table") -> int:
    """Diagnose the setup and suggest fixes: problems first, then settings that differ from the default.

    It checks settings, folders, permissions, versions, the database, Dagster, tables, the landing zone and projects. The exit code
    is 1 if there are errors.

    Parameters
    ----------
    repair
        First open each table at the newest sound metadata in its folder. A table without any is loaded again from the landing zone.
    all
        Also list the settings with their default and the checks that passed.
    format
        Output format.
    """
    from radar_assets.settings import SettingsError, load_settings

    try:
        settings = load_settings()
    except SettingsError as error:
        findings = [Finding("error", line) for line in str(error).splitlines()]
    else:
        findings = list(diagnose(settings, repair=repair))
    findings.sort(key=lambda finding: _ORDER[finding.level])
    shown = [finding for finding in findings if all or finding.level not in _ONLY_WITH_ALL]
    if format == "table":
        _print_findings(shown, findings)
    else:
        columns = [Column("level"), Column("finding"), Column("fix")]
        print_list(columns, [(finding.level, finding.what, finding.remedy) for finding in shown], format)
    return int(any(finding.level == "error" for finding in findings))


def _print_findings(shown: list[Finding], findings: list[Finding]) -> None:
    """Print findings below the heading of their kind, each with its fix on the next line."""
    console = out()
    problems = [finding for finding in shown if finding.level in ("error", "warning")]
    if not problems:
        console.print("No problems found.", style="green")
    for finding in problems:
        console.print(f"[{_COLOURS[finding.level]}]{finding.level:7}[/]  ", end="")
        console.print(printable(finding.what), markup=False, soft_wrap=True)
        if finding.remedy:
            console.print(f"         {printable(finding.remedy)}", markup=False, soft_wrap=True, style="dim")
    for level, heading in _HEADINGS.items():
        if rest := [finding for finding in shown if finding.level == level]:
            console.print(f"\n{heading}", style="bold", markup=False)
        for finding in rest:
            console.print(f"  {printable(finding.what)}", markup=False, soft_wrap=True)
    if hidden := len(findings) - len(shown):
        passed = sum(finding.level == "ok" for finding in findings)
        console.print(f"\n{passed} checks passed and {hidden - passed} settings have their default; --all lists them.")
