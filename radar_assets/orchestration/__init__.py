"""Everything that touches Dagster's mechanics: assets and checks made from tables, run requests, sensors over stale partitions."""
