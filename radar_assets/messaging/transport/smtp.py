"""A session with the mail server of the settings."""

import smtplib
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from email.message import EmailMessage
from email.utils import parseaddr
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from radar_assets.messaging.failures import PermanentError, SendError, TemporaryError
from radar_assets.messaging.plain_text import line
from radar_assets.messaging.transport.addresses import AllowedHosts
from radar_assets.messaging.transport.connections import Deadline, connect, tls_context


def send_mail(mail: EmailMessage, to: Sequence[str], url: SecretStr, timeout_s: float) -> None:
    """Hand a mail to the mail server.

    Raises:
        SendError: it was not accepted, or not for all recipients.
    """

    def hand_over(server: smtplib.SMTP) -> SendError | None:
        refused = server.sendmail(parseaddr(str(mail["From"]))[1], list(to), mail.as_bytes())
        return _refused(refused, PermanentError, "accepted for the others, refused") if refused else None

    _converse(url, timeout_s, hand_over)


def greet(url: SecretStr, timeout_s: float) -> None:
    """Open a session with the mail server as for a mail, with TLS and login, and close it.

    Raises:
        SendError: there is no session.
    """
    _converse(url, timeout_s, lambda server: server.ehlo_or_helo_if_needed())


def _converse(url: SecretStr, timeout_s: float, speak: Callable[[smtplib.SMTP], SendError | None]) -> None:
    """Open a session, do something in it, and close it.

    Raises:
        SendError: that failed.
    """
    deadline = Deadline(timeout_s)
    try:
        failure = _spoken(url, deadline, speak)
    finally:
        deadline.close()
    if failure:
        raise failure


def _spoken(url: SecretStr, deadline: Deadline, speak: Callable[[smtplib.SMTP], SendError | None]) -> SendError | None:
    parts = urlsplit(url.get_secret_value())
    host = str(parts.hostname)
    port = parts.port or (465 if parts.scheme == "smtps" else 587)
    try:
        server = _server(parts.scheme, host, port, deadline)
        try:
            if parts.scheme == "smtp" and parts.query != "starttls=no":
                _require(
                    server, "starttls", host, "STARTTLS", "for a local test server add ?starttls=no to RADAR_SMTP_URL"
                )
                server.starttls(context=tls_context())
            if parts.username:
                _require(
                    server, "auth", host, "login", "remove user and password from RADAR_SMTP_URL, or use its TLS port"
                )
                server.login(unquote(parts.username), unquote(parts.password or ""))
            failure = speak(server)
            # A mail is accepted by then; a failure to say goodbye changes nothing.
            with suppress(OSError, smtplib.SMTPException):
                server.putcmd("quit")
        finally:
            server.close()
    except smtplib.SMTPRecipientsRefused as error:
        return _refused(
            error.recipients, TemporaryError if _some_are_temporary(error.recipients) else PermanentError, "refused"
        )
    except smtplib.SMTPAuthenticationError as error:
        # Without the reply: some servers repeat the credentials in it.
        return _by_code(error.smtp_code, f"{host} refused the login ({error.smtp_code})")
    except smtplib.SMTPResponseException as error:
        return _by_code(error.smtp_code, f"{host} answered {error.smtp_code} {_reply(error.smtp_error)}")
    except ssl.SSLCertVerificationError as error:
        return PermanentError(f"{host} has an invalid certificate: {error.verify_message}")
    except SendError as error:
        return type(error)(str(error))
    except ConnectionRefusedError:
        return TemporaryError(f"Nothing listens on {host}:{port}; check RADAR_SMTP_URL")
    except (OSError, smtplib.SMTPException) as error:
        if deadline.passed or isinstance(error, TimeoutError):
            return TemporaryError(f"{host} did not answer within {deadline.timeout_s:g} s")
        why = error.strerror if isinstance(error, OSError) and not isinstance(error, smtplib.SMTPException) else None
        return TemporaryError(f"{host} closed the connection{f': {why}' if why else ''}")
    return failure


def _require(server: smtplib.SMTP, extension: str, host: str, name: str, remedy: str) -> None:
    """Check that the server has an extension.

    Raises:
        PermanentError: it does not, and the remedy is part of the message.
    """
    server.ehlo_or_helo_if_needed()
    if not server.has_extn(extension):
        raise PermanentError(f"{host} offers no {name}; {remedy}")


def _server(scheme: str, host: str, port: int, deadline: Deadline) -> smtplib.SMTP:
    # The operator chose the host, so it may be any; only the time is limited.
    allowed = AllowedHosts([host])

    class Server(smtplib.SMTP):
        def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
            return connect(host, port, allowed, deadline)

    class TlsServer(smtplib.SMTP_SSL):
        def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
            return tls_context().wrap_socket(connect(host, port, allowed, deadline), server_hostname=host)

    # The name for HELO; the machine's own would take a DNS lookup, which may be slow.
    return (TlsServer if scheme == "smtps" else Server)(host, port, local_hostname="radar", timeout=deadline.left())


def _refused(recipients: dict[str, tuple[int, bytes]], kind: type[SendError], what: str) -> SendError:
    listed = [f"{address} ({code} {_reply(reply)})" for address, (code, reply) in list(recipients.items())[:5]]
    return kind(f"{what} for {', '.join(listed)}{' and others' if len(recipients) > 5 else ''}")


def _some_are_temporary(recipients: dict[str, tuple[int, bytes]]) -> bool:
    return any(code < 500 for code, _ in recipients.values())


def _by_code(code: int, text: str) -> SendError:
    return PermanentError(text) if 500 <= code < 600 else TemporaryError(text)


def _reply(reply: bytes | str) -> str:
    return line(reply.decode(errors="replace") if isinstance(reply, bytes) else reply, 120)
