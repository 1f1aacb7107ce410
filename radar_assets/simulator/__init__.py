"""Synthetic traffic for the demo, benchmarks and tests. The same arguments always give the same segments.

`simulate` in `traffic.py` is the entry point. No part of the platform depends on the simulator.
"""
