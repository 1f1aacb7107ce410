"""Tests that numbers mean what analysts mean: real-world traffic through a real collector and the whole graph."""
