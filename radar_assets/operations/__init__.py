"""Running Radar for years: maintenance and backups."""
