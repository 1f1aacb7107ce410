"""A process of the growth benchmark: loads all landed segments through Dagster, on the home of the environment."""

from radar_assets_tests.benchmarks.measurement import report


def main() -> None:
    """Load and rebuild everything."""
    from radar_assets.cli.runs import catch_up
    from radar_assets.settings import load_settings
    from radar_assets.tables import open_lakehouse

    settings = load_settings()
    report({"materialized": catch_up(settings, open_lakehouse(settings))})


if __name__ == "__main__":
    main()
