"""Faults: killed runs, runs that overlap, full disks. `--kills 50` and the like make the short versions of these tests long."""
