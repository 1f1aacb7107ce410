"""The first day of a home."""

from datetime import date, timedelta

import pytest
import sqlalchemy as sa
from alembic import command

from radar_assets.settings import Settings, load_settings
from radar_assets.store.database import alembic_config, open_engine, open_store
from radar_assets.store.first_day import begin_by, first_day
from radar_assets.windows import utc_now


def test_a_new_home_starts_today_and_moves_back_only(settings: Settings) -> None:
    today = utc_now().date()
    assert first_day(settings) == today, "there is no store yet"
    store = open_store(settings.database)
    assert first_day(settings) == today
    week = today - timedelta(days=7)
    assert [begin_by(store, day) for day in (week, week, today)] == [True, False, False]
    assert first_day(settings) == week
    begin_by(store, settings.start_date - timedelta(days=1))
    assert first_day(settings) == settings.start_date


def test_the_setting_takes_precedence(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    open_store(settings.database)
    monkeypatch.setenv("RADAR_START_DATE", "2026-02-03")
    assert first_day(load_settings()) == date(2026, 2, 3)


@pytest.mark.parametrize("is_migrated", [True, False])
def test_an_existing_home_keeps_its_start(settings: Settings, is_migrated: bool) -> None:
    engine = open_engine(settings.database)
    with engine.begin() as connection:
        command.upgrade(alembic_config(connection), "0004")
    if is_migrated:
        store = open_store(settings.database)
        assert not begin_by(store, date(2026, 1, 1))
        assert sa.inspect(store.engine).has_table("home_start")
    assert first_day(settings) == settings.start_date
