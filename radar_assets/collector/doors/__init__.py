"""The doors, one module per protocol."""
