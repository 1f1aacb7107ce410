"""Names and texts are data: mails, chats and webhooks show them literally."""

import itertools
import json
import re
from collections import Counter
from email import message_from_bytes
from email.policy import SMTP
from html.parser import HTMLParser
from typing import Any

import jsonschema
import pytest
from markdown_it import MarkdownIt

from radar_assets.messaging.channels import CHANNELS, email
from radar_assets.messaging.channels.webhook import Body
from radar_assets.messaging.chat.base import Chat
from radar_assets.messaging.chat.markup import COMMONMARK, PLAIN, TELEGRAM_HTML, render
from radar_assets.messaging.message import Message
from radar_assets.messaging.plain_text import line
from radar_assets_tests.alerts.test_payload import SHIPPED
from radar_assets_tests.messaging.channels.servers import message, notice

STARTS = ("", "x ", "\n", '"', "'", ">", "*", "`", "](", "-->", "{{ words }}", "\\", "]]>")
PARTS = (
    *(
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        '" onmouseover="alert(1)',
        "<a href=//evil.example>x</a>",
    ),
    *(
        "[x](http://evil.example)",
        "![x](http://evil.example/x.png)",
        "<http://evil.example|x>",
        "https://evil.example",
        "@everyone",
    ),
    *(
        "<!channel>",
        "<@U123> @here",
        "{{ 7 * 7 }}",
        "{% for x in y %}",
        "\r\nBcc: evil@evil.example",
        "<mj-raw>x</mj-raw>",
    ),
    *(
        "*bold* _it_ ~gone~ `code` ||spoiler||",
        "\u202egnp.exe",
        "&lt;b&gt;&#60;script&#62;",
        "</td></tr></table>",
        "www.evil.example",
    ),
)
PAYLOADS = [f"{start}{part}" for start, part in itertools.product(STARTS, PARTS)]
CHATS = [kind for kind in CHANNELS.values() if issubclass(kind, Chat)]


def hostile(payload: str) -> list[Message]:
    """Messages with a payload in every text field."""
    words = dict.fromkeys(("rule", "description", "project_id", "project_name", "subject", "text"), payload)
    metric = {"metric": payload, "metric_title": payload, "unit": payload}
    single = notice(**words, **metric, check_url=f"https://radar.example/{payload}", alert_id=payload)
    platform = notice(**words, metric=None, metric_title=None, unit=None)
    return [message(single), message(platform), message(single, platform, id=payload)]


class Tags(HTMLParser):
    """Tags with their attributes, and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, tuple(sorted(name for name, _ in attrs))))
        for name, value in attrs:
            assert name not in ("href", "src") or value.startswith(("https://radar.example/", "cid:")), value

    def handle_data(self, data: str) -> None:
        self.text += data


HARMLESS = [Tags(email.html("team", hostile_message)).tags for hostile_message in hostile("name")]


def test_there_are_enough_payloads() -> None:
    assert len(set(PAYLOADS)) >= 200


@pytest.mark.parametrize("start", STARTS)
def test_a_mail_contains_no_injected_tags_or_headers(start: str) -> None:
    for payload in (f"{start}{part}" for part in PARTS):
        shown = line(payload, 80)
        for hostile_message, harmless in zip(hostile(payload), HARMLESS, strict=True):
            page = Tags(email.html("team", hostile_message))
            # There may be fewer tags, such as without the button for an invalid address, but never other ones.
            assert not Counter(page.tags) - Counter(harmless)
            assert shown in " ".join(page.text.split())
            mail = message_from_bytes(
                email.compose("team", ["ann@shop.example"], hostile_message, "alerts@shop.example").as_bytes(),
                policy=SMTP,
            )
            assert set(mail.keys()) <= {
                *(
                    "From",
                    "To",
                    "Subject",
                    "Date",
                    "Message-ID",
                    "References",
                    "In-Reply-To",
                    "List-Id",
                    "Auto-Submitted",
                ),
                *("X-Auto-Response-Suppress", "Importance", "MIME-Version", "Content-Type"),
            }
            assert mail["To"] == "ann@shop.example"


@pytest.mark.parametrize("chat", CHATS, ids=lambda chat: chat.__name__)
def test_a_chat_reads_no_injected_markup(chat: Any) -> None:
    markup = chat.markup
    for hostile_message in (hostile_message for payload in PAYLOADS for hostile_message in hostile(payload)):
        text = render(markup, hostile_message)
        for found in ("@everyone", "@here", "@U123"):
            assert found not in text
        # URLs other than that of the check are split, so that no chat turns them into links.
        ours = re.sub(r"https://radar\.example/[!-~]*", "", text)
        assert "://" not in ours
        assert "www." not in ours
        if markup is TELEGRAM_HTML:
            assert {tag for tag, _ in Tags(text).tags} <= {"b", "code", "a"}
        elif markup is COMMONMARK:
            tokens = [token for block in MarkdownIt().parse(text) for token in (block, *(block.children or ()))]
            kinds = {token.type for token in tokens}
            assert not kinds & {
                "html_inline",
                "html_block",
                "image",
                "em_open",
                "fence",
                "heading_open",
                "blockquote_open",
            }
            for token in tokens:
                if token.type == "link_open":
                    assert str(token.attrs["href"]).startswith("https://radar.example/")
        elif markup is not PLAIN:
            rest = re.sub(
                r"<https://radar\.example/[!-~]*\|[\w ]+>|\[[\w ]+\]\(https://radar\.example/[!-~]*\)", "", text
            )
            assert not re.search(r"[<>\[\]|~]", rest)
            assert all(set(line) & {"*"} <= {"*"} and line.count("*") in (0, 2, 4) for line in rest.split("\n"))


def test_a_webhook_contains_them_and_matches_its_schema() -> None:
    validator = jsonschema.Draft202012Validator(SHIPPED)
    for payload in PAYLOADS:
        for hostile_message in hostile(payload):
            body = json.loads(Body.of(hostile_message).model_dump_json())
            validator.validate(body)
            assert body["data"]["alerts"][0]["project_name"] == payload
