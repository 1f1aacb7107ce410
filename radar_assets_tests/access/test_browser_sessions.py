"""Sessions: how they start and end, one-time links, and the limits of failed logins, with a driven clock."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine

from radar_assets.access import users
from radar_assets.access.browser_sessions import (
    IDLE,
    LIFETIME,
    LINK_TTL,
    MAX_PER_ACCOUNT,
    MAX_PER_ADDRESS,
    WINDOW,
    LoginError,
    TooManyAttemptsError,
    delete_ended,
    log_in,
    log_out,
    make_login_link,
    principal_of,
    use_login_link,
)
from radar_assets.access.roles import Principal, Role
from radar_assets.store.database import Store
from radar_assets.windows import utc_now

PASSWORD = "correct horse battery"
HERE = "192.0.2.1"


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(utc_now(), tick=False) as clock:
        yield clock


@pytest.fixture
def anna(store: Store) -> str:
    return users.add_user(store, "anna", PASSWORD, Role.OPERATOR).id


def fail(store: Store, name: str, address: str = HERE) -> None:
    with pytest.raises(LoginError):
        log_in(store, name, "wrong password", address)


def test_each_login_has_a_session_of_its_own(store: Store, anna: str) -> None:
    first, second = (log_in(store, "ANNA", PASSWORD, HERE) for _ in range(2))
    assert first != second
    log_out(store, first)
    assert principal_of(store, first) is None
    assert principal_of(store, second) == Principal("user", anna, "anna", Role.OPERATOR)


def test_disabled_users_lose_their_sessions_and_cannot_log_in(store: Store, anna: str) -> None:
    secret = log_in(store, "anna", PASSWORD, HERE)
    users.disable_user(store, "anna")
    assert principal_of(store, secret) is None
    with pytest.raises(LoginError):
        log_in(store, "anna", PASSWORD, HERE)
    users.enable_user(store, "anna")
    assert principal_of(store, secret) is None
    assert principal_of(store, log_in(store, "anna", PASSWORD, HERE))


def test_a_new_password_ends_sessions_and_a_new_role_applies_to_them(store: Store, anna: str) -> None:
    secret = log_in(store, "anna", PASSWORD, HERE)
    users.set_role(store, "anna", Role.VIEWER)
    assert principal_of(store, secret) == Principal("user", anna, "anna", Role.VIEWER)
    users.set_password(store, "anna", "another long password")
    assert principal_of(store, secret) is None
    fail(store, "anna")


def test_a_session_ends_when_idle_and_after_its_lifetime(
    store: Store, anna: str, clock: time_machine.Traveller
) -> None:
    idle, used = (log_in(store, "anna", PASSWORD, HERE) for _ in range(2))
    started = utc_now()
    while utc_now() + IDLE / 2 < started + LIFETIME:
        clock.shift(IDLE / 2)
        assert principal_of(store, used)
    assert principal_of(store, idle) is None
    clock.shift(IDLE / 2)
    assert principal_of(store, used) is None
    delete_ended(store)


def test_wrong_names_and_wrong_passwords_give_the_same_error(store: Store, anna: str) -> None:
    errors = []
    for name in ("anna", "bert"):
        with pytest.raises(LoginError) as error:
            log_in(store, name, "wrong password", HERE)
        errors.append(str(error.value))
    assert len(set(errors)) == 1


@pytest.mark.parametrize("name", ["anna", "nobody"])
def test_an_account_is_limited_from_all_addresses(
    store: Store, anna: str, clock: time_machine.Traveller, name: str
) -> None:
    for number in range(MAX_PER_ACCOUNT):
        fail(store, name, f"192.0.2.{number}")
    clock.shift(60)
    with pytest.raises(TooManyAttemptsError) as error:
        log_in(store, name, PASSWORD, "198.51.100.1")
    assert error.value.wait_s == WINDOW.total_seconds() - 60
    clock.shift(error.value.wait_s)
    if name == "anna":
        assert log_in(store, name, PASSWORD, HERE)
    else:
        fail(store, name)


def test_an_address_is_limited_although_one_of_its_accounts_succeeds(
    store: Store, anna: str, clock: time_machine.Traveller
) -> None:
    for number in range(MAX_PER_ADDRESS - 1):
        fail(store, f"user{number}")
    log_in(store, "anna", PASSWORD, HERE)
    fail(store, "anna")
    with pytest.raises(TooManyAttemptsError):
        log_in(store, "anna", PASSWORD, HERE)
    assert log_in(store, "anna", PASSWORD, "198.51.100.1")


def test_a_successful_login_resets_the_count_of_its_account(
    store: Store, anna: str, clock: time_machine.Traveller
) -> None:
    for _ in range(2):
        for _ in range(MAX_PER_ACCOUNT - 1):
            fail(store, "anna")
        assert log_in(store, "anna", PASSWORD, HERE)


def test_concurrent_guesses_do_not_exceed_the_limit(store: Store, anna: str) -> None:
    def guess(number: int) -> str:
        try:
            return log_in(store, "anna", f"guess number {number}", HERE)
        except (LoginError, TooManyAttemptsError) as error:
            return type(error).__name__

    with ThreadPoolExecutor(20) as pool:
        results = list(pool.map(guess, range(20)))
    assert results.count("LoginError") == MAX_PER_ACCOUNT
    assert results.count("TooManyAttemptsError") == 20 - MAX_PER_ACCOUNT


def test_of_50_concurrent_uses_of_a_link_one_succeeds(store: Store) -> None:
    link = make_login_link(store, Role.OPERATOR)

    def use(_: int) -> str | None:
        try:
            return use_login_link(store, link)
        except LoginError:
            return None

    with ThreadPoolExecutor(50) as pool:
        sessions = [secret for secret in pool.map(use, range(50)) if secret]
    assert len(sessions) == 1
    principal = principal_of(store, sessions[0])
    assert principal
    assert (principal.kind, principal.role, principal.projects) == ("shell", Role.OPERATOR, None)


def test_a_link_expires(store: Store, clock: time_machine.Traveller) -> None:
    link = make_login_link(store)
    clock.shift(LINK_TTL + timedelta(seconds=1))
    with pytest.raises(LoginError):
        use_login_link(store, link)
