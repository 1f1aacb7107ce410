"""A small OpenID provider, which listens on loopback, for tests. It logs everyone in at once, and can be told to lie."""

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

CLIENT, SECRET = "radar", "secret of radar"


@dataclass
class OpenIDProvider:
    """The provider.

    Attributes:
        person: claims of whoever logs in.
        lies: claims of ID tokens that are replaced; None removes one.
        algorithm: RS256, ES256, none, or HS256 with the public key as its secret.
        status: of all its responses, if it is out of order.
        about: entries of the discovery document that are replaced.
        userinfo: what it says about whoever logs in besides the ID token.
        codes: codes to be redeemed, with what they were asked for with.
        requests: paths of the requests.
    """

    person: dict[str, Any] = field(default_factory=dict)
    lies: dict[str, Any] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    algorithm: str = "RS256"
    status: int = 0
    port: int = 0
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    userinfo: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rotate()

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def rotate(self) -> None:
        """Replace the keys."""
        self.rsa = RSAKey.generate_key(2048, {"kid": secrets.token_hex(4), "use": "sig"})
        self.ec = ECKey.generate_key("P-256", {"kid": secrets.token_hex(4), "use": "sig"})

    def answer(self, path: str, query: dict[str, str], authorization: str) -> tuple[int, Any]:
        """Status and body of a response; a text is an address to redirect to."""
        self.requests.append(path)
        if self.status:
            return self.status, {"error": "server_error"}
        if path == "/.well-known/openid-configuration":
            endpoints = {
                "authorization_endpoint": "/authorize?tenant=1",
                "token_endpoint": "/token",
                "jwks_uri": "/keys",
            }
            endpoints["userinfo_endpoint"] = "/userinfo"
            named = {name: self.issuer + at for name, at in endpoints.items()}
            return 200, {"issuer": self.issuer, **named, **self.about}
        if path == "/keys":
            unusable = {"kty": "new", "kid": "1"}
            return 200, {"keys": [self.rsa.as_dict(private=False), self.ec.as_dict(private=False), unusable]}
        if path == "/authorize":
            code = secrets.token_urlsafe(8)
            self.codes[code] = query
            return 303, f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"
        if path == "/userinfo":
            return 200, {"sub": self.person["sub"], **self.userinfo}
        return self._token(query, authorization) if path == "/token" else (404, {})

    def _token(self, query: dict[str, str], authorization: str) -> tuple[int, Any]:
        client = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        asked = self.codes.pop(query.get("code", ""), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(query.get("code_verifier", "").encode()).digest())
        if authorization != f"Basic {client}":
            return 401, {"error": "invalid_client"}
        if (
            asked is None
            or asked["code_challenge_method"] != "S256"
            or asked["code_challenge"] != challenge.decode().rstrip("=")
            or asked["redirect_uri"] != query.get("redirect_uri")
        ):
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        times = {"iat": now, "exp": now + 300}
        claims = {"iss": self.issuer, "aud": CLIENT, "nonce": asked["nonce"], **times, **self.person, **self.lies}
        told = {name: value for name, value in claims.items() if value is not None}
        return 200, {"access_token": "a", "token_type": "Bearer", "id_token": self.signed(told)}

    def signed(self, claims: dict[str, Any]) -> str:
        """An ID token."""
        if self.algorithm in ("none", "HS256"):
            # By hand: joserfc doesn't make such tokens.
            header = {"alg": self.algorithm, "kid": self.rsa.kid}
            text = ".".join(_encoded(json.dumps(part).encode()) for part in (header, claims))
            public = self.rsa.as_pem(private=False)
            mac = hmac.digest(public, text.encode(), "sha256") if self.algorithm == "HS256" else b""
            return f"{text}.{_encoded(mac)}"
        key = self.ec if self.algorithm == "ES256" else self.rsa
        return jwt.encode({"alg": self.algorithm, "kid": key.kid}, claims, key, [self.algorithm])


def _encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


@contextmanager
def openid_provider() -> Iterator[OpenIDProvider]:
    """Run a provider."""
    provider = OpenIDProvider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(urlsplit(self.path).query)

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers["Content-Length"])).decode())

        def _answer(self, query: str) -> None:
            authorization = self.headers.get("Authorization", "")
            status, body = provider.answer(urlsplit(self.path).path, dict(parse_qsl(query)), authorization)
            self.send_response(status)
            if isinstance(body, str):
                self.send_header("Location", body)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.port = server.server_port
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
