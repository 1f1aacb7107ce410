"""A mail arrives whole by a real mail server, also through TLS, and its failures are told apart."""

import socket
import ssl
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP as POLICY
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from pydantic import SecretStr, ValidationError

from radar_assets.alerts.channels import PassingError, PermanentError, Sending, Smtp, parse_channel, send
from radar_assets.alerts.channels.chart import draw
from radar_assets.settings import SettingsError, load_settings
from radar_assets_tests.alerts.channels.conftest import server_context
from radar_assets_tests.alerts.channels.servers import NOON, Resolver, drip, hang, message, notice, serving

HISTORY = [(NOON + timedelta(hours=hour), 0.02 if hour < 0 else 0.12) for hour in range(-48, 3)]
TEAM = {"type": "email", "name": "team", "to": ["ann@shop.example", "bob@shop.example"]}


class Inbox:
    """Takes mails in, or says no as a test wants it."""

    def __init__(self) -> None:
        self.mails: list[tuple[Any, EmailMessage]] = []
        self.recipients: dict[str, str] = {}
        self.data = "250 OK"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        answer = self.recipients.get(address, "250 OK")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.data.startswith("250"):
            self.mails.append((envelope, message_from_bytes(envelope.content, policy=POLICY)))  # pyright: ignore
        return self.data


@contextmanager
def mail_server(
    inbox: Inbox, tls: ssl.SSLContext | None, *, implicit: bool = False, password: str | None = None
) -> Iterator[int]:
    """A mail server; the port that it listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    def allow(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=data.password == (password or "").encode(), handled=False)

    options: dict[str, Any] = {
        "auth_require_tls": tls is not None,
        "authenticator": allow,
        "auth_required": password is not None,
    }
    if tls and not implicit:
        options |= {"tls_context": tls, "require_starttls": True}
    if implicit:
        options |= {"ssl_context": tls}
    controller = Controller(inbox, hostname="127.0.0.1", port=port, **options)
    if implicit:
        # It would wait for itself with TLS, and verify an address that is not in the certificate.
        controller._trigger_server = lambda: socket.create_connection(("127.0.0.1", port)).close()
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def post(authority: trustme.CA, trusted: None, resolver: Resolver, inbox: Inbox) -> Iterator[Callable[..., None]]:
    """Sends a message to the team by a server with STARTTLS and a login."""
    with mail_server(inbox, server_context(authority, "mail.example"), password="p@ss/word") as port:
        resolver.add("mail.example", [("127.0.0.1", port)])

        def send_mail(*notices: Any, url: str = "smtp://radar:p%40ss%2Fword@mail.example:587") -> None:
            smtp = Smtp(SecretStr(url), "Radar <alerts@shop.example>")
            send(parse_channel(TEAM), message(*notices), Sending(lambda _: HISTORY, smtp=smtp))

        yield send_mail


def test_a_mail_has_text_html_and_a_chart(post: Callable[..., None], inbox: Inbox) -> None:
    post()
    [(envelope, mail)] = inbox.mails
    assert envelope.rcpt_tos == TEAM["to"]
    assert envelope.mail_from == "alerts@shop.example"
    assert mail["Subject"] == "[critical] Error rate of Shop at 12.4%, above 5%"
    assert mail["Message-ID"] == "<4f6c@shop.example>"
    assert mail["Auto-Submitted"] == "auto-generated"
    text, html, picture = (part for part in mail.walk() if not part.is_multipart())
    plain, page = text.get_content(), html.get_content()  # pyright: ignore[reportAttributeAccessIssue]
    for said in (
        "Error rate of Shop at 12.4%, above 5%",
        "12 May 2026, 12:00 UTC",
        "5.4 times the highest",
        "radar alerts snooze 0b54",
    ):
        assert said in " ".join(plain.split())
        assert said in page
    assert 'href="https://radar.example/assets/hourly_metrics?view=checks&amp;checkDetail=checkout_errors_high"' in page
    assert 'src="cid:chart"' in page
    assert picture["Content-ID"] == "<chart>"
    assert picture.get_payload(decode=True).startswith(b"\x89PNG")  # pyright: ignore[reportAttributeAccessIssue]
    assert "http" not in page.replace("https://radar.example/", "").replace("http://www.w3.org", "").replace(
        "http-equiv", ""
    )


def test_what_is_told_of_an_alert_is_one_thread(post: Callable[..., None], inbox: Inbox) -> None:
    post(notice())
    post(notice(reason="recovered", ended_at=NOON + timedelta(hours=3)))
    assert len({mail["References"] for _, mail in inbox.mails}) == 1


def test_low_alerts_are_not_mailed(post: Callable[..., None], inbox: Inbox) -> None:
    post(notice(severity="low"))
    assert not inbox.mails
    post(notice(severity="low"), notice(project_name="Blog", severity="high"))
    assert [mail["Subject"] for _, mail in inbox.mails] == ["[high] Error rate of Blog at 12.4%, above 5%"]


def test_a_digest_lists_the_worst_first_and_is_bounded(post: Callable[..., None], inbox: Inbox) -> None:
    post(*(notice(project_name=f"Shop {number}", severity="medium") for number in range(99)), notice())
    [(_, mail)] = inbox.mails
    page = mail.get_body(("html",)).get_content()  # pyright: ignore[reportOptionalMemberAccess]
    assert page.index("Error rate of Shop at") < page.index("Error rate of Shop 0 at")
    assert "and 80 more" in page
    assert str(mail["Subject"]).startswith("100 alerts: 1 critical, 99 medium in ")


def test_implicit_tls_works(authority: trustme.CA, trusted: None, resolver: Resolver, inbox: Inbox) -> None:
    with mail_server(inbox, server_context(authority, "mail.example"), implicit=True) as port:
        resolver.add("mail.example", [("127.0.0.1", port)])
        smtp = Smtp(SecretStr("smtps://mail.example"), "alerts@shop.example")
        send(parse_channel(TEAM), message(), Sending(lambda _: (), smtp=smtp))
    assert len(inbox.mails) == 1


def test_without_tls_only_where_it_is_said(resolver: Resolver, inbox: Inbox) -> None:
    with mail_server(inbox, None) as port:
        sending = Sending(lambda _: (), smtp=Smtp(SecretStr(f"smtp://127.0.0.1:{port}"), "alerts@shop.example"))
        with pytest.raises(PermanentError, match="no TLS"):
            send(parse_channel(TEAM), message(), sending)
        assert not inbox.mails
        smtp = Smtp(SecretStr(f"smtp://127.0.0.1:{port}?starttls=no"), "alerts@shop.example")
        send(parse_channel(TEAM), message(), Sending(lambda _: (), smtp=smtp))
    assert len(inbox.mails) == 1


def test_a_stranger_s_certificate_gets_no_password(resolver: Resolver, inbox: Inbox) -> None:
    with mail_server(inbox, server_context(trustme.CA(), "mail.example"), password="secret") as port:
        resolver.add("mail.example", [("127.0.0.1", port)])
        smtp = Smtp(SecretStr("smtp://radar:secret@mail.example"), "alerts@shop.example")
        with pytest.raises(PermanentError, match="certificate that doesn't hold"):
            send(parse_channel(TEAM), message(), Sending(lambda _: (), smtp=smtp))


@pytest.mark.parametrize(
    ("recipients", "data", "failure", "arrived"),
    [
        ({}, "451 4.3.0 try later", PassingError, 0),
        ({}, "554 5.7.1 spam", PermanentError, 0),
        (
            {"ann@shop.example": "550 5.1.1 unknown", "bob@shop.example": "550 5.1.1 unknown"},
            "250 OK",
            PermanentError,
            0,
        ),
        ({"ann@shop.example": "450 4.2.0 greylisted", "bob@shop.example": "550 unknown"}, "250 OK", PassingError, 0),
        ({"ann@shop.example": "550 5.1.1 unknown"}, "250 OK", PermanentError, 1),
        ({"ann@shop.example": "452 mailbox full"}, "250 OK", PermanentError, 1),
    ],
)
def test_a_refusal_is_told_apart(
    post: Callable[..., None], inbox: Inbox, recipients: dict[str, str], data: str, failure: Any, arrived: int
) -> None:
    inbox.recipients, inbox.data = recipients, data
    with pytest.raises(failure):
        post()
    assert len(inbox.mails) == arrived


def test_a_wrong_password_is_permanent_and_not_repeated(post: Callable[..., None]) -> None:
    with pytest.raises(PermanentError, match=r"refused the login \(535\)") as failed:
        post(url="smtp://radar:CANARY@mail.example")
    assert "CANARY" not in repr(failed.value)


@pytest.mark.parametrize("answer", [hang, drip(b"220-"), drip(b"220 mail\r\n")], ids=["hangs", "drips", "drips later"])
def test_a_mail_server_that_stalls_is_given_up_in_time(answer: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        import threading

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                answer(connection)

        threading.Thread(target=serve, daemon=True).start()
        smtp = Smtp(SecretStr(f"smtp://127.0.0.1:{listener.getsockname()[1]}"), "alerts@shop.example")
        started = time.monotonic()
        with pytest.raises(PassingError, match="did not answer within"):
            send(parse_channel(TEAM), message(), Sending(lambda _: (), smtp=smtp, timeout_s=0.6))
        assert time.monotonic() - started < 10


def test_nobody_there_and_no_server_at_all() -> None:
    with serving() as gone:
        pass
    smtp = Smtp(SecretStr(f"smtp://127.0.0.1:{gone.port}"), "alerts@shop.example")
    with pytest.raises(PassingError, match="refused"):
        send(parse_channel(TEAM), message(), Sending(lambda _: (), smtp=smtp))
    with pytest.raises(PermanentError, match="RADAR_SMTP_URL"):
        send(parse_channel(TEAM), message(), Sending(lambda _: ()))


@pytest.mark.parametrize(
    "to",
    [
        [],
        ["a@b.example"] * 51,
        ["no address"],
        ["a@b.example\nBcc: c@d.example"],
        ["a@b"],
        ["<a@b.example>"],
        ["a@b.example, c@d.example"],
    ],
)
def test_wrong_recipients_are_refused(to: list[str]) -> None:
    with pytest.raises(ValidationError):
        parse_channel({**TEAM, "to": [f"{number}{one}" for number, one in enumerate(to)] if len(to) > 50 else to})


def test_a_chart_is_drawn_where_there_are_values() -> None:
    assert draw(notice(), ()) is None
    assert draw(notice(), HISTORY[:1]) is None
    assert draw(notice(metric=None), HISTORY) is None
    for changed in (
        {},
        {"operator": "change_pct"},
        {"unit": "s"},
        {"window": "1d"},
        {"metric_title": "</title><script>"},
    ):
        assert (draw(notice(**changed), HISTORY) or b"").startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "url",
    [
        "http://mail.example",
        "smtp://",
        "mail.example",
        "smtp://u:p@mail.example?starttls=no",
        "smtps://mail.example?x=1",
        "smtp://a:b/CANARY@h:x",
        "smtp://a:b#CANARY@h:25",
        "smtp://a:25#CANARY@h",
        "a:CANARY@h:587",
    ],
)
def test_a_wrong_mail_server_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError, match="RADAR_SMTP_URL") as failed:
        load_settings(smtp_url=url)
    assert "CANARY" not in "".join(traceback.format_exception(failed.value))
    assert failed.value.__context__ is None


@pytest.mark.parametrize(
    "sender", ["alerts@shop.example", "Radar <alerts@shop.example>", '"Radar, Inc" <alerts@shop.example>']
)
def test_a_sender_is_one_address(sender: str) -> None:
    assert load_settings(smtp_from=sender).smtp_from == sender
    for wrong in (
        "Radar, Inc <alerts@shop.example>",
        "Radar <alerts@shop.example",
        "alerts@shop.example>",
        "Team: alerts@shop.example;",
        "alerts@shop.example\nX: y",
        "alerts@shop",
        "",
    ):
        with pytest.raises(SettingsError, match="not a mail address"):
            load_settings(smtp_from=wrong)
