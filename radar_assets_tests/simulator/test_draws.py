"""Draws are uniform, and independent of each other."""

import numpy as np
import pytest

from radar_assets.simulator.draws import between, draw, happens, keys, odds, pick, uniform

KEYS = keys(1, np.arange(100_000))


def test_draws_are_spread_evenly():
    assert np.histogram(uniform(KEYS, "anything"), bins=10, range=(0, 1))[0] == pytest.approx([10_000] * 10, rel=0.05)
    assert np.bincount(between(KEYS, "dice", 1, 7))[1:] == pytest.approx([100_000 / 6] * 6, rel=0.05)


def test_draws_for_different_purposes_numbers_and_seeds_are_independent():
    first = uniform(KEYS, "one")
    for other in (
        uniform(KEYS, "two"),
        uniform(keys(2, np.arange(100_000)), "one"),
        (draw(KEYS, "one", 1) >> np.uint64(11)) * 2.0**-53,
    ):
        assert abs(np.corrcoef(first, other)[0, 1]) < 0.02


def test_a_draw_only_depends_on_its_key():
    some = KEYS[[5, 3, 99]]
    assert (draw(some, "one") == draw(KEYS, "one")[[5, 3, 99]]).all()


def test_events_happen_with_their_share():
    assert happens(KEYS, "rare", 0.01).mean() == pytest.approx(0.01, rel=0.15)
    assert not happens(KEYS, "never", 0).any()
    assert happens(KEYS, "always", 1).all()


def test_picks_follow_the_weights():
    tables = np.stack([odds([1, 0, 3]), odds([0, 5, 5])])
    row = np.arange(len(KEYS)) % 2
    picked = pick(tables, draw(KEYS, "pick"), row)
    assert np.bincount(picked[row == 0], minlength=3) / 50_000 == pytest.approx([0.25, 0, 0.75], abs=0.01)
    assert np.bincount(picked[row == 1], minlength=3) / 50_000 == pytest.approx([0, 0.5, 0.5], abs=0.01)
