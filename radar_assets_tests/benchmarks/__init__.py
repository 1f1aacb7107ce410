"""Benchmarks: each reports its figures next to a floor that is measured in the same run.

`uv run python -m radar_assets_tests.benchmarks` runs all of them. Each is a module with a function `run(folder, scale)`.
"""
