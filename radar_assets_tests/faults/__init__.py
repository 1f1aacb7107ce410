"""Faults: killed runs and collectors, power cuts, runs that overlap, full disks.

`--kills 50` and the like make the short versions of these tests long.
"""
