"""Column charts in the terminal."""

from radar_assets.cli.chart import columns


def test_columns_are_as_high_as_their_share_of_the_largest() -> None:
    assert columns([0, 1, 2, 4], height=2, width=1) == ["   █", " ▄██"]
    assert columns([8, 1], height=1, width=2) == ["█ ▁ "]


def test_nothing_and_zeros_have_no_columns() -> None:
    assert columns([], height=2) == ["", ""]
    assert columns([0, 0], height=2, width=1) == ["  ", "  "]
