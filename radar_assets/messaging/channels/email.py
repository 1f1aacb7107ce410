"""Email, through the SMTP server of the settings."""

import re
from collections.abc import Collection, Sequence
from datetime import UTC
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import parseaddr
from functools import cache
from importlib import resources
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from radar_assets.messaging.channel import ChannelSpec, Transport
from radar_assets.messaging.failures import PermanentError, SuppressedError
from radar_assets.messaging.message import Item, Message, Picture, Priority
from radar_assets.messaging.plain_text import plain_text
from radar_assets.messaging.settings import MAIL_ADDRESS, MessagingSettings

MAX_RECIPIENTS = 50
MAX_ITEMS = 20
"""Of a digest."""
MAX_LINE = 990
"""Characters of a line that servers take unencoded; RFC 5321 allows 998."""
SENDER_NAME = "Radar"
"""Shown as the sender unless RADAR_SMTP_FROM has a name."""
_TONES = {"critical": "#b42318", "high": "#c4320a", "medium": "#b54708", "low": "#475467", "good": "#067647"}


class Email(ChannelSpec):
    """Mailboxes of people. Low-priority messages are never mailed: mails that no one wants to read cost the ones that matter.

    Attributes:
        to: addresses; the mail names all of them.
    """

    min_priority: ClassVar[Priority] = "medium"

    type: Literal["email"]
    to: tuple[str, ...] = Field(min_length=1, max_length=MAX_RECIPIENTS)

    @property
    def where(self) -> str:
        return ", ".join(self.to)

    @field_validator("to")
    @classmethod
    def _are_addresses(cls, to: tuple[str, ...]) -> tuple[str, ...]:
        for address in to:
            if not MAIL_ADDRESS.fullmatch(address) or len(address) > 254:
                raise ValueError(f"invalid mail address {address!r:.80}; e.g. team@shop.example")
        return tuple(dict.fromkeys(to))

    def missing_setting(self, settings: MessagingSettings) -> str | None:
        needed = {"RADAR_SMTP_URL": settings.smtp_url, "RADAR_SMTP_FROM": settings.smtp_from}
        missing = " and ".join(name for name, value in needed.items() if value is None)
        if not missing:
            return None
        # They may be set where the daemon runs, which this process can't see.
        return f"no mail is sent without {missing}; set them in .env in the home, which the daemon reads too"

    def send(self, message: Message, transport: Transport) -> None:
        """Send a mail to all addresses at once, except suppressed ones.

        A mail that only some of the recipients' servers accepted is not sent again, as the others would get it twice.
        """
        from radar_assets.messaging.transport.smtp import send_mail

        smtp = transport.smtp
        if smtp.url is None or smtp.sender is None:
            raise PermanentError(
                "no mail server is configured; set RADAR_SMTP_URL and RADAR_SMTP_FROM in .env in the home"
            )
        suppressed = transport.suppressed(self.to, message.unsubscribe_group)
        to = [address for address in self.to if address not in suppressed]
        if not to:
            raise SuppressedError("every address is on the suppression list")
        send_mail(compose(self.name, to, message, smtp.sender), to, smtp.url, transport.timeout_s)


def compose(channel: str, to: Sequence[str], message: Message, sender: str) -> EmailMessage:
    """The mail of a message: plain text, and HTML with pictures."""
    name, address = parseaddr(sender)
    domain = address.rpartition("@")[2]
    mail = EmailMessage(policy=SMTP)
    mail["From"] = Address(name or SENDER_NAME, addr_spec=address)
    mail["To"] = ", ".join(to)
    mail["Subject"] = message.subject
    mail["Date"] = message.created_at.replace(tzinfo=message.created_at.tzinfo or UTC)
    mail["Message-ID"] = f"<{_token(message.id)}@{domain}>"
    if message.thread_id:
        mail["References"] = mail["In-Reply-To"] = f"<{_token(message.thread_id)}@{domain}>"
    mail["List-Id"] = f"Radar {message.unsubscribe_group} <{channel}.radar.{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    if message.urgency == "critical":
        mail["Importance"] = "high"
    drawn = {block.name: block.draw() for block in message.blocks if isinstance(block, Picture)}
    pictures = {name: png for name, png in drawn.items() if png}
    text = plain_text(message)
    # Unencoded if servers may take it so: then links can be copied from the source, which is what test servers show.
    is_unencoded = text.isascii() and max(map(len, text.splitlines())) <= MAX_LINE
    mail.set_content(text, cte="7bit" if is_unencoded else "quoted-printable")
    mail.add_alternative(html(channel, message, set(pictures)), subtype="html")
    page = list(mail.iter_parts())[-1]
    for name, png in pictures.items():
        page.add_related(png, "image", "png", cid=f"<{name}>", disposition="inline", filename=f"{name}.png")  # pyright: ignore
    for attachment in message.attachments:
        kind, _, subtype = attachment.media_type.partition("/")
        mail.add_attachment(attachment.content, kind, subtype, filename=attachment.name)
    return mail


def html(channel: str, message: Message, pictures: Collection[str] = ()) -> str:
    """The HTML of a mail.

    Args:
        pictures: names of those that the mail has; their content ids.
    """
    blocks = [block for block in message.blocks if not isinstance(block, Picture) or block.name in pictures]
    is_digest = bool(message.items)
    return _template().render(
        message=message,
        preview=message.subject if is_digest else f"{message.status}: {message.headline}".removeprefix(": "),
        # A digest has the tone of its first entry, which is the most important one.
        tone=_TONES[_tone(message)],
        tone_name=_tone(message),
        label="Digest" if is_digest else _label(message),
        blocks=[(type(block).__name__, block) for block in blocks],
        items=[(_TONES[_tone(item)], _tone(item), _label(item), item) for item in message.items[:MAX_ITEMS]],
        more=max(0, len(message.items) - MAX_ITEMS),
        channel=channel,
    )


@cache
def _template() -> Any:
    """The template of mails, compiled from MJML to HTML once."""
    import mrml
    from jinja2 import Environment, StrictUndefined

    page = mrml.to_html(
        (resources.files("radar_assets.messaging") / "templates" / "mail.mjml").read_text(encoding="utf-8")
    )
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(page.content)


def _tone(about: Message | Item) -> str:
    return "good" if about.is_good else about.priority


def _label(about: Message | Item) -> str:
    return about.status if about.is_good or not about.status else f"{about.status} · {about.priority}"


def _token(text: str) -> str:
    """An id as it may be within a message id."""
    return re.sub(r"[^A-Za-z0-9.-]", "-", text)[:200]
