"""Synthetic traffic for the demo, the benchmarks and the tests: the same segments for the same arguments.

`traffic.py` holds `simulate`, which everything else here serves. No part of the platform depends on it.
"""
