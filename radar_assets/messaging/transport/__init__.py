"""How messages leave: to addresses that were checked, for a bounded time, with TLS that verifies."""
