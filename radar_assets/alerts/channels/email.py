"""Mails, over the SMTP server of the settings."""

import re
import smtplib
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import parseaddr
from functools import cache
from importlib import resources
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field, field_validator

from radar_assets.alerts import messages
from radar_assets.alerts.channels.addresses import AllowedHosts
from radar_assets.alerts.channels.connections import Deadline, connect, tls_context
from radar_assets.alerts.channels.failures import PassingError, PermanentError, SendError
from radar_assets.alerts.channels.sending import Destination, Sending, Smtp
from radar_assets.alerts.messages import History, Message, Notice
from radar_assets.settings import MAIL_ADDRESS

MOST_RECIPIENTS = 50
MOST_LISTED = 20
"""Of the alerts of a digest."""
_TONES = {"critical": "#b42318", "high": "#c4320a", "medium": "#b54708", "low": "#475467", "recovered": "#067647"}


class Email(Destination):
    """Mailboxes of people.

    Attributes:
        to: addresses; all of them are named in the mail.
    """

    type: Literal["email"]
    to: tuple[str, ...] = Field(min_length=1, max_length=MOST_RECIPIENTS)

    @property
    def where(self) -> str:
        return ", ".join(self.to)

    @field_validator("to")
    @classmethod
    def _are_addresses(cls, to: tuple[str, ...]) -> tuple[str, ...]:
        for address in to:
            if not MAIL_ADDRESS.fullmatch(address) or len(address) > 254:
                raise ValueError(f"{address!r:.80} is no mail address; write it as team@shop.example")
        return tuple(dict.fromkeys(to))


def send(channel: Email, message: Message, sending: Sending) -> None:
    """Send a mail to all addresses at once; one that only some of them took is not sent again, as the others would get it twice.

    Raises:
        SendError: it was not accepted, or not for all.
    """
    # Where alerts are announced this is decided already; a mail that nobody wants to read costs the ones that matter.
    notices = tuple(notice for notice in message.notices if notice.severity != "low" or notice.reason == "test")
    if not notices:
        return
    if sending.smtp.url is None or sending.smtp.sender is None:
        raise PermanentError("there is no mail server; set RADAR_SMTP_URL and RADAR_SMTP_FROM")
    mail = compose(channel, message.model_copy(update={"notices": notices}), sending.history, sending.smtp.sender)
    deliver(mail, channel.to, sending.smtp, sending.timeout_s)


def compose(channel: Email, message: Message, history: History, sender: str) -> EmailMessage:
    """The mail of a message: text, and HTML with a chart where there is one to draw."""
    _, address = parseaddr(sender)
    domain = address.rpartition("@")[2]
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender
    mail["To"] = ", ".join(channel.to)
    mail["Subject"] = messages.subject(message)
    mail["Date"] = message.created_at.replace(tzinfo=message.created_at.tzinfo or UTC)
    mail["Message-ID"] = f"<{_token(message.id)}@{domain}>"
    if len(message.notices) == 1:
        # What is said of one alert becomes one thread.
        mail["References"] = mail["In-Reply-To"] = f"<alert-{_token(message.notices[0].alert_id)}@{domain}>"
    mail["List-Id"] = f"Radar alerts <{channel.name}.radar.{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    if any(notice.severity == "critical" and notice.reason != "recovered" for notice in message.notices):
        mail["Importance"] = "high"
    picture = None
    if len(message.notices) == 1:
        from radar_assets.alerts.channels.chart import draw

        picture = draw(message.notices[0], history(message.notices[0]))
    mail.set_content(messages.text(message))
    mail.add_alternative(html(channel, message, "chart" if picture else None), subtype="html")
    if picture:
        *_, page = mail.iter_parts()
        page.add_related(picture, "image", "png", cid="<chart>", disposition="inline", filename="chart.png")
    return mail


def html(channel: Email, message: Message, chart: str | None = None) -> str:
    """The HTML of a mail.

    Args:
        chart: content id of the chart.
    """
    subject = messages.subject(message)
    if len(message.notices) == 1:
        notice = message.notices[0]
        words = messages.describe(notice)
        return _template().render(
            subject=subject,
            preview=f"{words.state}: {words.headline}",
            tone=_tone(notice),
            label=_label(notice, words),
            headline=words.headline,
            words=words,
            chart=chart,
            chart_alt=f"{notice.metric_title or notice.metric} around the alert",
            channel=channel.name,
        )
    worst, *_ = listed = messages.by_severity(message)
    alerts = [
        {
            "tone": _tone(notice),
            "label": _label(notice, words),
            "words": words,
            "when": dict(words.facts).get("Since", ""),
        }
        for notice in listed[:MOST_LISTED]
        for words in [messages.describe(notice)]
    ]
    return _template().render(
        subject=subject,
        preview=subject,
        tone=_tone(worst),
        label="Digest",
        headline=subject,
        alerts=alerts,
        more=len(listed) - len(alerts),
        channel=channel.name,
    )


def deliver(mail: EmailMessage, to: Sequence[str], smtp: Smtp, timeout_s: float) -> None:
    """Give a mail to the mail server.

    Raises:
        SendError: it was not accepted, or not for all.
    """
    deadline = Deadline(timeout_s)
    try:
        failure = _deliver(mail, to, smtp, deadline)
    finally:
        deadline.close()
    if failure:
        raise failure


def _deliver(mail: EmailMessage, to: Sequence[str], smtp: Smtp, deadline: Deadline) -> SendError | None:
    assert smtp.url is not None
    parts = urlsplit(smtp.url.get_secret_value())
    host = str(parts.hostname)
    port = parts.port or (465 if parts.scheme == "smtps" else 587)
    try:
        server = _server(parts.scheme, host, port, deadline)
        try:
            if parts.scheme == "smtp" and parts.query != "starttls=no":
                server.starttls(context=tls_context())
            if parts.username:
                server.login(unquote(parts.username), unquote(parts.password or ""))
            refused = server.sendmail(parseaddr(str(mail["From"]))[1], list(to), mail.as_bytes())
            # What is answered to this changes nothing any more.
            with suppress(OSError, smtplib.SMTPException):
                server.putcmd("quit")
        finally:
            server.close()
    except smtplib.SMTPRecipientsRefused as error:
        return _refused(error.recipients, PassingError if _some_pass(error.recipients) else PermanentError, "refused")
    except smtplib.SMTPAuthenticationError as error:
        # The reply is left out: servers have been seen to say there what they were given.
        return _by_code(error.smtp_code, f"{host} refused the login ({error.smtp_code})")
    except smtplib.SMTPResponseException as error:
        return _by_code(error.smtp_code, f"{host} answered {error.smtp_code} {_reply(error.smtp_error)}")
    except smtplib.SMTPNotSupportedError:
        return PermanentError(
            f"{host} offers no {'login' if parts.scheme == 'smtps' else 'TLS or login'}; see RADAR_SMTP_URL"
        )
    except ssl.SSLCertVerificationError as error:
        return PermanentError(f"{host} has a certificate that doesn't hold: {error.verify_message}")
    except SendError as error:
        return type(error)(str(error))
    except (OSError, smtplib.SMTPException) as error:
        if deadline.passed or isinstance(error, TimeoutError):
            return PassingError(f"{host} did not answer within {deadline.timeout_s:g} s")
        why = error.strerror if isinstance(error, OSError) and not isinstance(error, smtplib.SMTPException) else None
        return PassingError(f"{host} broke off the connection{f': {why}' if why else ''}")
    return _refused(refused, PermanentError, "accepted for the others, refused") if refused else None


def _server(scheme: str, host: str, port: int, deadline: Deadline) -> smtplib.SMTP:
    # The operator has named the host, so it may be any; what counts here is the time.
    allowed = AllowedHosts([host])

    class Server(smtplib.SMTP):
        def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
            return connect(host, port, allowed, deadline)

    class TlsServer(smtplib.SMTP_SSL):
        def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
            return tls_context().wrap_socket(connect(host, port, allowed, deadline), server_hostname=host)

    # Said at the start of the dialogue; the name of the machine would take a look-up that may take long.
    return (TlsServer if scheme == "smtps" else Server)(host, port, local_hostname="radar", timeout=deadline.left())


@cache
def _template() -> Any:
    """The template of mails, its MJML made into HTML once."""
    import mrml
    from jinja2 import Environment, StrictUndefined

    page = mrml.to_html(
        (resources.files("radar_assets.alerts") / "templates" / "mail.mjml").read_text(encoding="utf-8")
    )
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.globals |= {"words": None, "chart": None, "alerts": (), "more": 0}
    return environment.from_string(page.content)


def _tone(notice: Notice) -> str:
    return _TONES["recovered" if notice.reason in ("recovered", "test") else notice.severity]


def _label(notice: Notice, words: messages.Words) -> str:
    return words.state if notice.reason in ("recovered", "test") else f"{words.state} · {notice.severity}"


def _refused(recipients: dict[str, tuple[int, bytes]], kind: type[SendError], what: str) -> SendError:
    some = [f"{address} ({code} {_reply(reply)})" for address, (code, reply) in list(recipients.items())[:5]]
    return kind(f"{what} for {', '.join(some)}{' and others' if len(recipients) > 5 else ''}")


def _some_pass(recipients: dict[str, tuple[int, bytes]]) -> bool:
    return any(code < 500 for code, _ in recipients.values())


def _by_code(code: int, text: str) -> SendError:
    return PermanentError(text) if 500 <= code < 600 else PassingError(text)


def _reply(reply: bytes | str) -> str:
    return messages.line(reply.decode(errors="replace") if isinstance(reply, bytes) else reply, 120)


def _token(text: str) -> str:
    """An id as it may be within a message id."""
    return re.sub(r"[^A-Za-z0-9.-]", "-", text)[:200]
