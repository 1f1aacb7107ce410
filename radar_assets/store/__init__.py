"""The operational store, in SQLite or Postgres: projects, keys, rules, alerts and deliveries.

Rows that change one at a time belong here; events, and everything computed from them, belong in the lakehouse.
"""
