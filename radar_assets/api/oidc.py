"""Login at an OpenID provider: the authorization code flow with PKCE, and the checks of its answers.

What a person may do is decided in `access/outside_logins.py`, and the pages are in `login.py`. A login in progress is kept in a signed
cookie of the browser that began it, so that no other browser can end it.
"""

import importlib.util
import secrets
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from itsdangerous import BadSignature, URLSafeTimedSerializer

from radar_assets.access.outside_logins import OutsidePerson, oidc_subject
from radar_assets.access.settings import LoginSettings
from radar_assets.api.accounts import LoginRefusedError
from radar_assets.environment import SettingsError
from radar_assets.urls import LOOPBACK_HOSTS

CALLBACK = "/login/oidc/callback"
ALGORITHMS = ["RS256", "ES256"]
"""Signatures of ID tokens. Others are refused: with a key that is public, anyone could make one of HS256."""
TIMEOUT_S = 10
FLOW_S = 600
"""How long a person may take at the provider."""
DISCOVERY_S = 3600
LEEWAY_S = 60
"""How much clocks may differ."""


@dataclass
class Provider:
    """An OpenID provider. The methods block.

    Attributes:
        name: what the login page calls it.
    """

    issuer: str
    name: str
    _document: tuple[float, dict[str, Any]] | None = None
    _keys: Any = None

    def document(self) -> dict[str, Any]:
        """The discovery document.

        Raises:
            LoginRefusedError: the provider can't be reached, or its answer is wrong.
        """
        if self._document and time.monotonic() - self._document[0] < DISCOVERY_S:
            return self._document[1]
        found = self._get(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
        if found.get("issuer") != self.issuer:
            raise self._wrong(f"it names itself {found.get('issuer')!r}, not {self.issuer!r}")
        for endpoint in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            parts = urlsplit(str(found.get(endpoint, "")))
            is_local = parts.scheme == "http" and parts.hostname in LOOPBACK_HOSTS
            if not (parts.scheme == "https" or (is_local and urlsplit(self.issuer).scheme == "http")):
                raise self._wrong(f"its {endpoint} is not https")
        self._document = (time.monotonic(), found)
        return found

    def claims(self, id_token: str) -> dict[str, Any]:
        """The claims of an ID token whose signature is the provider's.

        Raises:
            LoginRefusedError: it isn't, or the provider can't be reached.
        """
        from joserfc import jwt
        from joserfc.errors import JoseError

        is_fresh = self._keys is None
        for keys in (self._read_keys() if is_fresh else self._keys, None):
            try:
                # Again with the keys of now, in case that the provider has changed them.
                return dict(jwt.decode(id_token, keys or self._read_keys(), algorithms=ALGORITHMS).claims)
            except (JoseError, ValueError, TypeError) as error:
                if is_fresh or keys is None:
                    raise self._wrong(f"its ID token is not valid ({type(error).__name__})") from error
        raise AssertionError

    def tokens(self, request: Mapping[str, str], client_id: str, client_secret: str | None) -> dict[str, Any]:
        """Exchange a code for tokens.

        Raises:
            LoginRefusedError: the provider refuses the code, or can't be reached.
        """
        import requests
        from authlib.integrations.base_client.errors import OAuthError
        from authlib.integrations.requests_client import OAuth2Session

        methods = self.document().get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        method = "client_secret_basic" if "client_secret_basic" in methods else "client_secret_post"
        session = OAuth2Session(client_id, client_secret, method if client_secret else "none")
        try:
            return session.fetch_token(
                self.document()["token_endpoint"],
                grant_type="authorization_code",
                timeout=TIMEOUT_S,
                allow_redirects=False,
                **request,
            )
        except OAuthError as error:
            raise LoginRefusedError(403, f"{self.name} has refused the login ({error.error}). Try again.") from error
        except requests.exceptions.JSONDecodeError as error:
            raise self._wrong("it sends no JSON") from error
        except requests.RequestException as error:
            raise self._down(error) from error
        finally:
            session.close()  # pyright: ignore[reportAttributeAccessIssue]

    def user_info(self, access_token: str) -> dict[str, Any]:
        """What the provider says about the person besides the ID token; empty if it has nothing."""
        url = self.document().get("userinfo_endpoint")
        return self._get(url, {"Authorization": f"Bearer {access_token}"}) if url else {}

    def _read_keys(self) -> Any:
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet

        found = self._get(self.document()["jwks_uri"]).get("keys")
        usable = [
            key
            for key in (found if isinstance(found, list) else [])
            if isinstance(key, dict) and key.get("kty") in ("RSA", "EC") and key.get("use", "sig") == "sig"
        ]
        try:
            self._keys = KeySet.import_key_set({"keys": usable})
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise self._wrong("its keys can't be read") from error
        return self._keys

    def _get(self, url: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        import requests

        try:
            response = requests.get(url, headers=dict(headers or {}), timeout=TIMEOUT_S, allow_redirects=False)
        except requests.RequestException as error:
            raise self._down(error) from error
        try:
            found = response.json() if response.status_code == 200 else None
        except ValueError:
            found = None
        if response.status_code >= 500:
            raise LoginRefusedError(503, f"{self.name} is out of order (status {response.status_code}). {_ELSE}")
        if not isinstance(found, dict):
            raise self._wrong(f"{urlsplit(url).path} has status {response.status_code} or is no JSON")
        return found

    def _down(self, error: Exception) -> LoginRefusedError:
        return LoginRefusedError(503, f"{self.name} can't be reached ({type(error).__name__}). {_ELSE}", 10)

    def _wrong(self, what: str) -> LoginRefusedError:
        return LoginRefusedError(502, f"{self.name} has sent a wrong answer: {what}. {_ELSE}")


_ELSE = "Try again later, or log in with a password."


@dataclass
class OidcLogin:
    """Logins at a provider. One object for all of them, which remembers those that have ended.

    Attributes:
        public: origin of the UI, as people reach it.
    """

    settings: LoginSettings
    public: str
    provider: Provider
    client_id: str
    client_secret: str | None
    _signer: URLSafeTimedSerializer = field(default_factory=lambda: URLSafeTimedSerializer(secrets.token_bytes(32)))
    _ended: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, settings: LoginSettings, ui_url: str | None) -> "OidcLogin | None":
        """The logins of the settings; None if they name no provider.

        Raises:
            SettingsError: settings or a package are missing.
        """
        if settings.oidc_issuer is None:
            return None
        if not settings.oidc_client_id:
            raise SettingsError("RADAR_OIDC_CLIENT_ID: is missing; RADAR_OIDC_ISSUER needs it")
        if not ui_url:
            raise SettingsError("RADAR_UI_URL: is missing; RADAR_OIDC_ISSUER needs it for the redirect URI")
        if not importlib.util.find_spec("authlib"):
            raise SettingsError("RADAR_OIDC_ISSUER: needs a package; install radar-assets[oidc]")
        parts = urlsplit(ui_url)
        provider = Provider(settings.oidc_issuer, settings.oidc_name)
        secret = settings.client_secret()
        return cls(settings, f"{parts.scheme}://{parts.netloc}", provider, settings.oidc_client_id, secret)

    def begin(self, target: str) -> tuple[str, str]:
        """Begin a login. Returns the address at the provider, and the value of the browser's cookie. Blocks.

        Args:
            target: path to continue at.

        Raises:
            LoginRefusedError: the provider can't be reached.
        """
        from authlib.oauth2.rfc7636 import create_s256_code_challenge

        state, nonce, verifier = secrets.token_urlsafe(24), secrets.token_urlsafe(24), secrets.token_urlsafe(48)
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.public + CALLBACK,
            "scope": self.settings.oidc_scopes,
            "state": state,
            "nonce": nonce,
            "code_challenge": create_s256_code_challenge(verifier),
            "code_challenge_method": "S256",
        }
        endpoint = self.provider.document()["authorization_endpoint"]
        cookie = self._signer.dumps([state, nonce, verifier, target])
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}", str(cookie)

    def finish(self, query: Mapping[str, str], cookie: str) -> tuple[OutsidePerson, str]:
        """End a login. Returns who has logged in, and the path to continue at. Blocks.

        Args:
            query: that the provider has sent the browser back with.

        Raises:
            LoginRefusedError: something is not as it was begun, or the provider refuses it.
        """
        try:
            state, nonce, verifier, target = self._signer.loads(cookie, max_age=FLOW_S)
        except BadSignature as error:
            raise LoginRefusedError(
                403, "The login was begun in another browser, or too long ago. Try again."
            ) from error
        if not secrets.compare_digest(query.get("state", "").encode(), state.encode()):
            raise LoginRefusedError(403, "The login was begun in another window or browser. Try again.")
        self._end(state)
        if query.get("iss", self.provider.issuer) != self.provider.issuer:
            raise LoginRefusedError(403, "The answer comes from another provider. Try again.")
        if "error" in query or not query.get("code"):
            reason = query.get("error", "no code")[:100]
            raise LoginRefusedError(403, f"{self.provider.name} has refused the login ({reason}).")
        tokens = self.provider.tokens(
            {"code": query["code"], "redirect_uri": self.public + CALLBACK, "code_verifier": verifier},
            self.client_id,
            self.client_secret,
        )
        claims = self.provider.claims(str(tokens.get("id_token", "")))
        self._check(claims, nonce)
        wanted = {self.settings.oidc_groups_claim, self.settings.oidc_name_claim, "email"}
        if not wanted <= claims.keys() and tokens.get("access_token"):
            more = self.provider.user_info(str(tokens["access_token"]))
            if more and more.get("sub") != claims["sub"]:
                raise LoginRefusedError(502, f"{self.provider.name} has sent the data of another person.")
            claims = {**more, **claims}
        return self._person(claims), target

    def _end(self, state: str) -> None:
        """Use up a state.

        Raises:
            LoginRefusedError: it was used before.
        """
        now = time.monotonic()
        with self._lock:
            if state in self._ended:
                raise LoginRefusedError(403, "This login has ended already. Try again.")
            self._ended[state] = now
            # In the order of time, so that only old ones are visited.
            while now - next(iter(self._ended.values())) > FLOW_S:
                del self._ended[next(iter(self._ended))]

    def _check(self, claims: Mapping[str, Any], nonce: str) -> None:
        """Check that an ID token is for this login.

        Raises:
            LoginRefusedError: it isn't.
        """
        from joserfc.errors import JoseError
        from joserfc.jwt import JWTClaimsRegistry

        rules = JWTClaimsRegistry(
            leeway=LEEWAY_S,
            iss={"essential": True, "value": self.provider.issuer},
            aud={"essential": True, "value": self.client_id},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        try:
            rules.validate(dict(claims))
        except JoseError as error:
            raise LoginRefusedError(403, f"The ID token is refused: {error}. Try again.") from error
        audience = claims["aud"]
        party = claims.get("azp", None if isinstance(audience, list) and len(audience) > 1 else self.client_id)
        if party != self.client_id:
            raise LoginRefusedError(403, "The ID token is refused: it was made for another application.")

    def _person(self, claims: Mapping[str, Any]) -> OutsidePerson:
        email = str(claims.get("email") or "") if claims.get("email_verified") is True else ""
        domains = {domain.lower() for domain in self.settings.oidc_domains}
        if domains and email.rpartition("@")[2].lower() not in domains:
            raise LoginRefusedError(403, "Your verified e-mail address is in none of the domains that may log in.")
        groups = claims.get(self.settings.oidc_groups_claim)
        role = self.settings.grants.role_of(_texts(groups))
        name = str(claims.get(self.settings.oidc_name_claim) or email or claims["sub"])
        subject = oidc_subject(self.provider.issuer, claims["sub"])
        return OutsidePerson(subject, name, *(role or (None, None)))


def _texts(value: object) -> Collection[str]:
    if isinstance(value, str):
        return [value]
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
