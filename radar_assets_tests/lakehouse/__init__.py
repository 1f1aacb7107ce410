"""Tests of the lakehouse layer."""
