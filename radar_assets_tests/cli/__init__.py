"""Tests of the command line: real commands on a home of their own."""
