"""Product analytics as a Dagster asset graph."""
