"""Faults: killed runs and collectors, power cuts, runs that overlap, full disks.

Options such as `--kills 50` run longer versions of these tests.
"""
