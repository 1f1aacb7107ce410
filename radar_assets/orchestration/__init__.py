"""Dagster mechanics: assets and checks from tables, run requests, and sensors over stale partitions."""
