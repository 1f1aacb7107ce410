"""Mails go through a real mail server, with and without TLS; temporary and permanent failures are distinguished."""

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

from radar_assets.messaging.channel import Smtp, Transport
from radar_assets.messaging.channels import parse_channel
from radar_assets.messaging.failures import PermanentError, TemporaryError
from radar_assets.settings import SettingsError, load_settings
from radar_assets_tests.browser import FLAGS
from radar_assets_tests.messaging.channels.conftest import server_context
from radar_assets_tests.messaging.channels.servers import NOON, Resolver, drip, hang, message, notice, send, serving
from radar_assets_tests.programs import CHROMIUM, needs_chromium

HISTORY = [(NOON + timedelta(hours=hour), 0.02 if hour < 0 else 0.12) for hour in range(-48, 3)]
TEAM = {"type": "email", "name": "team", "to": ["ann@shop.example", "bob@shop.example"]}


class Inbox:
    """Accepts or refuses mails, as a test configures it."""

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
    inbox: Inbox,
    tls: ssl.SSLContext | None,
    *,
    implicit: bool = False,
    password: str | None = None,
    offers_login: bool = True,
) -> Iterator[int]:
    """A mail server. Returns its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    def allow(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=data.password == (password or "").encode(), handled=False)

    options: dict[str, Any] = {
        "auth_require_tls": tls is not None or not offers_login,
        "authenticator": allow,
        "auth_required": password is not None,
    }
    if tls and not implicit:
        options |= {"tls_context": tls, "require_starttls": True}
    if implicit:
        options |= {"ssl_context": tls}
    controller = Controller(inbox, hostname="127.0.0.1", port=port, **options)
    if implicit:
        # The self-test of aiosmtpd would block itself with TLS, and verify an address that is not in the certificate.
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
    """Sends a message to the team through a server with STARTTLS and a login."""
    with mail_server(inbox, server_context(authority, "mail.example"), password="p@ss/word") as port:
        resolver.add("mail.example", [("127.0.0.1", port)])

        def send_mail(*notices: Any, url: str = "smtp://radar:p%40ss%2Fword@mail.example:587") -> None:
            smtp = Smtp(SecretStr(url), "Radar <alerts@shop.example>")
            send(parse_channel(TEAM), message(*notices, history=lambda _: HISTORY), Transport(smtp=smtp))

        yield send_mail


def test_a_mail_has_text_html_and_a_chart(post: Callable[..., None], inbox: Inbox) -> None:
    post()
    [(envelope, mail)] = inbox.mails
    assert envelope.rcpt_tos == TEAM["to"]
    assert envelope.mail_from == "alerts@shop.example"
    assert mail["Subject"] == "[critical] Shop: error rate 12.4%, above 5%"
    assert mail["Message-ID"] == "<4f6c@shop.example>"
    assert mail["Auto-Submitted"] == "auto-generated"
    text, html, picture = (part for part in mail.walk() if not part.is_multipart())
    plain, page = text.get_content(), html.get_content()  # pyright: ignore[reportAttributeAccessIssue]
    for said in (
        "Shop: error rate 12.4%, above 5%",
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


@pytest.mark.parametrize(
    ("url", "name", "encoding"),
    [
        (f"https://radar.example/{'x' * 500}", "Shop", "7bit"),
        (f"https://radar.example/{'x' * 1500}", "Shop", "quoted-printable"),
        (f"https://radar.example/{'x' * 500}", "Zoë's shop", "quoted-printable"),
    ],
)
def test_links_in_the_text_are_whole_in_the_source_where_servers_may_take_it_so(
    post: Callable[..., None], inbox: Inbox, url: str, name: str, encoding: str
) -> None:
    post(notice(check_url=url, project_name=name))
    [(envelope, mail)] = inbox.mails
    text = next(part for part in mail.walk() if part.get_content_type() == "text/plain")
    assert text["Content-Transfer-Encoding"] == encoding
    assert f"Check: {url}" in text.get_content()  # pyright: ignore[reportAttributeAccessIssue]
    assert (f"Check: {url}\r\n".encode() in envelope.content) == (encoding == "7bit")
    assert max(map(len, envelope.content.splitlines())) <= 998


@pytest.mark.parametrize(
    ("sender", "shown"),
    [
        ("alerts@shop.example", "Radar <alerts@shop.example>"),
        ("Shop alerts <alerts@shop.example>", "Shop alerts <alerts@shop.example>"),
        ('"Radar, Inc" <alerts@shop.example>', '"Radar, Inc" <alerts@shop.example>'),
    ],
)
def test_a_sender_has_a_name(sender: str, shown: str, inbox: Inbox) -> None:
    with mail_server(inbox, None, offers_login=False) as port:
        smtp = Smtp(SecretStr(f"smtp://127.0.0.1:{port}?starttls=no"), sender)
        send(parse_channel(TEAM), message(), Transport(smtp=smtp))
    [(envelope, mail)] = inbox.mails
    assert (str(mail["From"]), envelope.mail_from) == (shown, "alerts@shop.example")


# For each piece of text: the least ratio of its colour to the background behind it, and the width of the page.
LEGIBILITY = """() => {
    const numbers = (colour) => colour.match(/[0-9.]+/g).map(Number);
    const light = (colour) => {
        const [r, g, b] = numbers(colour).map((c) => c / 255).map(
            (c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (node) => {
        for (; node; node = node.parentElement) {
            const colour = getComputedStyle(node).backgroundColor, parts = numbers(colour);
            if (parts.length < 4 || parts[3] > 0) return light(colour);
        }
        return 1;
    };
    const found = [], texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const node = texts.currentNode.parentElement;
        if (!texts.currentNode.textContent.trim() || !node.getClientRects().length || node.closest("style")) continue;
        if (getComputedStyle(node).fontSize === "1px") continue;
        const [low, high] = [light(getComputedStyle(node).color), behind(node)].sort((a, b) => a - b);
        found.push([(high + 0.05) / (low + 0.05), texts.currentNode.textContent.trim()]);
    }
    found.sort((a, b) => a[0] - b[0]);
    return {worst: found[0], texts: found.length, background: behind(document.querySelector(".card")),
            width: document.documentElement.scrollWidth};
}"""


@needs_chromium
def test_a_mail_is_legible_and_fits_in_light_and_dark(post: Callable[..., None], inbox: Inbox) -> None:
    from playwright.sync_api import sync_playwright

    over = notice(reason="recovered", ended_at=NOON + timedelta(hours=3), ended_value=0.02)
    others = [notice(severity=severity) for severity in ("low", "medium", "high")]
    for notices in ([notice()], [notice(), over, *others]):
        post(*notices)
    pages = [mail.get_body(("html",)).get_content() for _, mail in inbox.mails]  # pyright: ignore
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        tab = browser.new_page()
        for page in pages:
            tab.set_content(page)
            for width in (320, 480, 700):
                tab.set_viewport_size({"width": width, "height": 800})
                for scheme in ("light", "dark"):
                    tab.emulate_media(color_scheme=scheme)
                    found = tab.evaluate(LEGIBILITY)
                    assert found["texts"] > 5
                    assert found["worst"][0] >= 4.5, (scheme, found["worst"])
                    assert (found["background"] < 0.1) == (scheme == "dark")
                    assert found["width"] == width
        browser.close()


def test_mails_about_an_alert_are_one_thread(post: Callable[..., None], inbox: Inbox) -> None:
    post(notice())
    post(notice(reason="recovered", ended_at=NOON + timedelta(hours=3)))
    assert len({mail["References"] for _, mail in inbox.mails}) == 1


def test_a_digest_lists_the_worst_first_and_is_bounded(post: Callable[..., None], inbox: Inbox) -> None:
    post(*(notice(project_name=f"Shop {number}", severity="medium") for number in range(99)), notice())
    [(_, mail)] = inbox.mails
    page = mail.get_body(("html",)).get_content()  # pyright: ignore[reportOptionalMemberAccess]
    assert page.index("Shop: error rate") < page.index("Shop 0: error rate")
    assert "and 80 more" in page
    assert str(mail["Subject"]).startswith("100 alerts: 1 critical, 99 medium in ")


def test_implicit_tls_works(authority: trustme.CA, trusted: None, resolver: Resolver, inbox: Inbox) -> None:
    with mail_server(inbox, server_context(authority, "mail.example"), implicit=True) as port:
        resolver.add("mail.example", [("127.0.0.1", port)])
        smtp = Smtp(SecretStr("smtps://mail.example"), "alerts@shop.example")
        send(parse_channel(TEAM), message(), Transport(smtp=smtp))
    assert len(inbox.mails) == 1


def test_tls_is_required_unless_the_url_disables_it(resolver: Resolver, inbox: Inbox) -> None:
    with mail_server(inbox, None, offers_login=False) as port:
        transport = Transport(smtp=Smtp(SecretStr(f"smtp://127.0.0.1:{port}"), "alerts@shop.example"))
        with pytest.raises(
            PermanentError, match=r"127\.0\.0\.1 offers no STARTTLS; for a local test server add \?starttls=no"
        ):
            send(parse_channel(TEAM), message(), transport)
        assert not inbox.mails
        smtp = Smtp(SecretStr(f"smtp://127.0.0.1:{port}?starttls=no"), "alerts@shop.example")
        send(parse_channel(TEAM), message(), Transport(smtp=smtp))
        smtp = Smtp(SecretStr(f"smtp://ann:CANARY@127.0.0.1:{port}?starttls=no"), "alerts@shop.example")
        with pytest.raises(PermanentError, match="offers no login; remove user and password") as failed:
            send(parse_channel(TEAM), message(), Transport(smtp=smtp))
    assert "CANARY" not in str(failed.value)
    assert len(inbox.mails) == 1


def test_no_password_is_sent_to_a_server_with_an_untrusted_certificate(resolver: Resolver, inbox: Inbox) -> None:
    with mail_server(inbox, server_context(trustme.CA(), "mail.example"), password="secret") as port:
        resolver.add("mail.example", [("127.0.0.1", port)])
        smtp = Smtp(SecretStr("smtp://radar:secret@mail.example"), "alerts@shop.example")
        with pytest.raises(PermanentError, match="invalid certificate"):
            send(parse_channel(TEAM), message(), Transport(smtp=smtp))


@pytest.mark.parametrize(
    ("recipients", "data", "failure", "arrived"),
    [
        ({}, "451 4.3.0 try later", TemporaryError, 0),
        ({}, "554 5.7.1 spam", PermanentError, 0),
        (
            {"ann@shop.example": "550 5.1.1 unknown", "bob@shop.example": "550 5.1.1 unknown"},
            "250 OK",
            PermanentError,
            0,
        ),
        ({"ann@shop.example": "450 4.2.0 greylisted", "bob@shop.example": "550 unknown"}, "250 OK", TemporaryError, 0),
        ({"ann@shop.example": "550 5.1.1 unknown"}, "250 OK", PermanentError, 1),
        ({"ann@shop.example": "452 mailbox full"}, "250 OK", PermanentError, 1),
    ],
)
def test_refusals_are_temporary_or_permanent_by_status(
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
def test_a_stalling_mail_server_times_out(answer: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        import threading

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                answer(connection)

        threading.Thread(target=serve, daemon=True).start()
        smtp = Smtp(SecretStr(f"smtp://127.0.0.1:{listener.getsockname()[1]}"), "alerts@shop.example")
        started = time.monotonic()
        with pytest.raises(TemporaryError, match=r"did not answer within|can't be resolved"):
            send(parse_channel(TEAM), message(), Transport(smtp=smtp, timeout_s=0.6))
        assert time.monotonic() - started < 30


def test_an_unreachable_and_a_missing_mail_server_fail() -> None:
    with serving() as gone:
        pass
    smtp = Smtp(SecretStr(f"smtp://127.0.0.1:{gone.port}"), "alerts@shop.example")
    with pytest.raises(TemporaryError, match=rf"Nothing listens on 127\.0\.0\.1:{gone.port}; check RADAR_SMTP_URL"):
        send(parse_channel(TEAM), message(), Transport(smtp=smtp))
    with pytest.raises(PermanentError, match="RADAR_SMTP_URL"):
        send(parse_channel(TEAM), message(), Transport())


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
