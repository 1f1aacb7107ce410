"""The tests mirror the package, and run the real thing on their own files, databases and instances."""
