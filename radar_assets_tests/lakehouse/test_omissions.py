"""Omissions are read as they were written, and take little space."""

from radar_assets.lakehouse.omissions import Omission, decode, encode, merge

DUE = Omission("due", "1a2b", "conversion error")
TOTAL = Omission("total", "3c4d", "took more than 60 s")


def test_omissions_are_read_as_they_were_written() -> None:
    omissions = {5: frozenset({DUE}), 6: frozenset({DUE, TOTAL}), 9: frozenset({TOTAL}), -3: frozenset({DUE})}
    assert decode(encode(omissions)) == omissions
    assert decode(encode({})) == {}


def test_years_of_hours_take_no_more_space_than_two_hours() -> None:
    assert len(encode(dict.fromkeys(range(400_000, 430_000), frozenset({DUE})))) < 100


def test_a_rebuilt_partition_has_the_omissions_of_its_rebuild() -> None:
    before = {1: frozenset({DUE}), 2: frozenset({DUE}), 3: frozenset({DUE})}
    assert merge(before, {2, 3}, {3: frozenset({TOTAL})}) == {1: frozenset({DUE}), 3: frozenset({TOTAL})}
