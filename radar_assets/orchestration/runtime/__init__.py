"""The Dagster instance, the launcher of runs, backfills, and the state of the code location.

Code that relies on private parts of Dagster belongs here.
"""
