"""How fast Radar is: each benchmark states its figures beside a floor that is measured in the same run.

`uv run python -m radar_assets_tests.benchmarks` runs all of them; a module each, with `run(folder, scale)` as the way in.
"""
