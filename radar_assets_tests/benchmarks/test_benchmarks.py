"""Benchmarks run on a few events, where their figures are meaningless, and the results that they compare are equal."""

import os
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

import pytest


@pytest.mark.parametrize("name", ["pipeline", "imports", "alerting"])
def test_a_benchmark_gives_figures(name: str, tmp_path: Path) -> None:
    with patch.dict(os.environ):  # a benchmark sets the home of the process
        figures = import_module(f"radar_assets_tests.benchmarks.{name}").run(tmp_path, 0.001)
    assert all(figure.value >= 0 and figure.unit for figure in figures)
    assert any(figure.ratio for figure in figures), "it is held against a floor"
    assert any(figure.bound for figure in figures), "and against a bound"
