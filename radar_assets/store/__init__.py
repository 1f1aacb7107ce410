"""The operational store: what Radar is told and what it has to remember, in SQLite or Postgres.

Rows that change one at a time belong here; events and everything computed from them live in the lakehouse.
"""
