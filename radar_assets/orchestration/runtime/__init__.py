"""The Dagster instance and how runs are started; what relies on Dagster's private parts is here."""
