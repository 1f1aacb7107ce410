"""The Dagster instance and the launcher of runs. Code that relies on private parts of Dagster belongs here."""
