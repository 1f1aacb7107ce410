"""Login at an OpenID provider: settings that are wrong, and providers that are down or not the one of the settings."""

import pytest

from radar_assets.api.oidc import OidcLogin
from radar_assets.settings import SettingsError, load_settings
from radar_assets_tests.api.openid import CLIENT, openid_provider


def test_a_provider_that_can_not_be_reached_or_lies_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADAR_OIDC_CLIENT_ID", CLIENT)
    with openid_provider() as provider:
        monkeypatch.setenv("RADAR_OIDC_ISSUER", provider.issuer)

        def problem() -> tuple[int, str]:
            from radar_assets.api.accounts import LoginRefusedError

            login = OidcLogin.of(load_settings(), "https://radar.example")
            assert login
            with pytest.raises(LoginRefusedError) as raised:
                login.begin("/")
            return raised.value.status, str(raised.value)

        provider.about = {"issuer": "https://evil.example"}
        assert problem()[0] == 502
        for endpoint in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            provider.about = {endpoint: "http://evil.example/"}
            status, reason = problem()
            assert (status, f"its {endpoint} is not https" in reason) == (502, True)
        provider.about, provider.status = {}, 500
        assert problem() == (
            503,
            "single sign-on is out of order (status 500). Try again later, or log in with a password.",
        )
    status, reason = problem()
    assert (status, "can't be reached" in reason) == (503, True)


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"OIDC_ISSUER": "http://id.example"}, "RADAR_OIDC_ISSUER"),
        ({"OIDC_ISSUER": "https://id.example"}, "RADAR_OIDC_CLIENT_ID"),
        ({"OIDC_ISSUER": "https://id.example", "OIDC_CLIENT_ID": "a"}, "RADAR_UI_URL"),
        ({"LOGIN_ROLES": "staff=viewer"}, "RADAR_LOGIN_ROLES"),
        ({"LOGIN_ROLES": '{"staff": "root"}'}, "RADAR_LOGIN_ROLES"),
        ({"LOGIN_ROLES": '{"staff": "viewer:"}'}, "RADAR_LOGIN_ROLES"),
        ({"LOGIN_DEFAULT_ROLE": "root"}, "RADAR_LOGIN_DEFAULT_ROLE"),
        ({"UI_PROXIES": "10.0.0.1/8"}, "RADAR_UI_PROXIES"),
        ({"UI_USER_HEADER": "Remote User"}, "RADAR_UI_USER_HEADER"),
        ({"UI_PROXY_SECRET": "short"}, "RADAR_UI_PROXY_SECRET"),
        (
            {
                "OIDC_ISSUER": "https://id.example",
                "OIDC_CLIENT_ID": "a",
                "UI_URL": "https://radar.example",
                "OIDC_CLIENT_SECRET_FILE": "/missing",
            },
            "RADAR_OIDC_CLIENT_SECRET_FILE",
        ),
    ],
)
def test_settings_that_are_wrong_are_named(
    variables: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"RADAR_{name}", value)
    with pytest.raises(SettingsError) as raised:
        OidcLogin.of(settings := load_settings(), settings.ui_url)
    assert str(raised.value).startswith(named)
    assert "short" not in str(raised.value)
