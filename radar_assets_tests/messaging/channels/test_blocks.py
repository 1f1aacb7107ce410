"""Every block of a message is shown by mails and chats, each in its own way."""

from datetime import datetime
from typing import Any

import pytest
from pydantic import SecretStr

from radar_assets.messaging.channel import Smtp, Transport
from radar_assets.messaging.channels import parse_channel
from radar_assets.messaging.chat.markup import COMMONMARK, PLAIN, render
from radar_assets.messaging.message import Attachment, Commands, Facts, Link, Message, Picture, Table, Text
from radar_assets.messaging.plain_text import plain_text
from radar_assets_tests.messaging.channels.test_email import Inbox, mail_server

PNG = b"\x89PNG\r\n\x1a\n"
REPORT = Message(
    id="4f6c",
    kind="report.weekly",
    created_at=datetime(2026, 11, 30, 9),
    subject="Week 48 of Shop",
    headline="Visitors up 12% <week> 48",
    blocks=[
        Text("A quiet week."),
        Picture("visitors", lambda: PNG, "Visitors by day"),
        Picture("nothing", lambda: None, "Not drawn"),
        Table(["Page", "Views"], [["/", "1,204"], ["/pricing & more", "83"]]),
        Facts([("Conversion", "3.1%")]),
        Link("report", "https://radar.example/reports/48"),
        Commands([("radar reports show 48", "prints it")]),
    ],
    attachments=[Attachment("week-48.pdf", "application/pdf", b"%PDF-1.7")],
    unsubscribe_group="reports",
)


def test_a_mail_has_all_blocks_and_files() -> None:
    inbox = Inbox()
    with mail_server(inbox, None) as port:
        smtp = Smtp(SecretStr(f"smtp://127.0.0.1:{port}?starttls=no"), "radar@shop.example")
        team = parse_channel({"type": "email", "name": "team", "to": ["ann@shop.example"]})
        team.send(REPORT, Transport(smtp=smtp))
    [(_, mail)] = inbox.mails
    parts: list[Any] = [part for part in mail.walk() if not part.is_multipart()]
    assert [part.get_content_type() for part in parts] == ["text/plain", "text/html", "image/png", "application/pdf"]
    text, page, picture, pdf = (part.get_content() for part in parts)
    assert (picture, pdf, parts[3].get_filename()) == (PNG, b"%PDF-1.7", "week-48.pdf")
    assert "Page             Views\n/                1,204\n/pricing & more  83" in text.replace("\r\n", "\n")
    for shown in (
        "A quiet week.",
        "<th align",
        "/pricing &amp; more",
        "3.1%",
        "Open the report",
        "radar reports show 48",
    ):
        assert shown in page, shown
    assert ('src="cid:visitors"' in page, "cid:nothing" in page) == (True, False)
    assert "<week>" not in page
    assert (mail["Subject"], mail["References"]) == ("Week 48 of Shop", None)
    assert "Radar reports" in mail["List-Id"]


@pytest.mark.parametrize("markup", [PLAIN, COMMONMARK])
def test_a_chat_has_all_blocks_that_are_text(markup: Any) -> None:
    text = render(markup, REPORT).replace("\\", "").replace("\u2060", "")
    for shown in (
        "Visitors up 12% <week> 48",
        "A quiet week.",
        "/pricing & more · 83",
        "Conversion: 3.1%",
        "Open the report",
    ):
        assert shown in text, shown


def test_plain_text_starts_with_the_headline() -> None:
    assert plain_text(REPORT).startswith("Visitors up 12% <week> 48\n\nA quiet week.\n\nPage")
