"""Running Radar for years: backups."""
