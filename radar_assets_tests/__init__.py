"""The tests: they mirror the package, and run the real thing on files, databases and instances of their own."""
