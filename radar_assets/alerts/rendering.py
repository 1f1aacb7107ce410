"""Alerts as messages: notices become subjects, blocks and digests. Each channel shows these in its own way."""

import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from radar_assets.alerts.notices import KIND, Notice, trial_notice
from radar_assets.alerts.payload import payload
from radar_assets.alerts.rules import SEVERITIES
from radar_assets.alerts.wording import Words, describe, project, since
from radar_assets.messaging.message import (
    Actions,
    Block,
    Commands,
    Draft,
    Facts,
    Item,
    Link,
    Message,
    Picture,
    Renderer,
    Text,
)
from radar_assets.messaging.plain_text import line

if TYPE_CHECKING:
    from radar_assets.alerts.links import Links

MAX_SUBJECT = 150
UNSUBSCRIBE_GROUP = "alerts"

History = Callable[[Notice], Sequence[tuple[datetime, float]]]
"""Values of a notice's metric around the breach, by start of their window, for its chart; may be empty."""


def renderer(history: History, links: "Links | None" = None) -> Renderer:
    """Renders deliveries of alerts.

    Args:
        history: values for charts; called only for channels that show pictures.
        links: makes links to act on an alert; None if the address of the UI is unknown.
    """
    return lambda draft: render(draft, history, links)


def render(draft: Draft, history: History = lambda _: (), links: "Links | None" = None) -> Message:
    """The message of one notice, or a digest of several."""
    notices = [Notice.model_validate(content) for content in draft.contents]
    kind, data = payload(notices)
    message = partial(
        Message,
        id=draft.id,
        created_at=draft.created_at,
        kind=kind,
        is_good=all(_is_good(notice) for notice in notices),
        is_over=all(notice.is_over for notice in notices),
        unsubscribe_group=UNSUBSCRIBE_GROUP,
        payload=data,
    )
    if len(notices) > 1:
        ongoing = [SEVERITIES.index(notice.severity) for notice in notices if not notice.is_over]
        headline = _digest_headline(notices)
        return message(
            subject=line(headline, MAX_SUBJECT),
            headline=headline,
            priority=SEVERITIES[max(ongoing, default=0)],
            items=[_item(notice) for notice in by_severity(notices)],
            list_command="radar alerts list",
        )
    (notice,) = notices
    words = describe(notice)
    about = notice.severity if notice.reason == "fired" else words.state.lower()
    return message(
        subject=line(f"[{about}] {words.headline}", MAX_SUBJECT),
        status=words.state,
        headline=words.headline,
        priority=notice.severity,
        blocks=_blocks(notice, words, history, _actions(notice, words, draft.channel, links)),
        thread_id=thread_id(notice.alert_id),
    )


def trial_message(now: datetime) -> Message:
    """A message for trying out a channel."""
    return render(Draft(f"test-{uuid.uuid4()}", KIND, [trial_notice(now).model_dump(mode="json")], now))


def thread_id(alert_id: str) -> str:
    """Id of the thread with all messages about an alert."""
    return f"alert-{alert_id}"


def by_severity(notices: Sequence[Notice]) -> list[Notice]:
    """Notices with the most severe first and ended ones last."""
    return sorted(
        notices,
        key=lambda notice: (notice.is_over, -SEVERITIES.index(notice.severity), notice.started_at),
    )


def _actions(notice: Notice, words: Words, channel: str, links: "Links | None") -> list[tuple[str, str]]:
    """What the reader can do about an alert, with the pages for it."""
    if links is None or notice.reason == "test":
        return []
    details = ("Details", links.page(notice.alert_id))
    if not words.silence:
        return [details]
    return [
        ("Acknowledge", links.signed(notice.alert_id, "ack", channel)),
        ("Snooze for 4 h", links.signed(notice.alert_id, "snooze", channel)),
        details,
    ]


def _blocks(notice: Notice, words: Words, history: History, actions: Sequence[tuple[str, str]] = ()) -> list[Block]:
    blocks: list[Block] = []
    if words.description:
        blocks.append(Text(words.description))
    if notice.metric is not None:
        blocks.append(
            Picture(
                "chart", partial(_chart, notice, history), f"{notice.metric_title or notice.metric} around the alert"
            )
        )
    blocks.append(Facts(words.facts))
    if words.link:
        blocks.append(Link("check", words.link))
    if actions:
        blocks.append(Actions(actions))
    if words.silence:
        blocks.append(Commands(words.silence))
    return blocks


def _chart(notice: Notice, history: History) -> bytes | None:
    from radar_assets.alerts.chart import draw

    return draw(notice, history(notice))


def _item(notice: Notice) -> Item:
    words = describe(notice)
    return Item(
        status=words.state,
        priority=notice.severity,
        is_good=_is_good(notice),
        headline=words.headline,
        when=since(notice),
        link=Link("check", words.link) if words.link else None,
        command=words.silence[0][0] if words.silence else "",
    )


def _is_good(notice: Notice) -> bool:
    return notice.is_recovered or notice.reason == "test"


def _digest_headline(notices: Sequence[Notice]) -> str:
    counts = Counter(notice.severity for notice in notices if not notice.is_over)
    over = sum(notice.is_recovered for notice in notices)
    silent = sum(notice.reason == "ended_without_data" for notice in notices)
    parts = [f"{counts[severity]} {severity}" for severity in reversed(SEVERITIES) if counts[severity]]
    parts += [f"{over} recovered"] if over else []
    parts += [f"{silent} ended without data"] if silent else []
    projects = sorted({line(project(notice), 30) for notice in notices if notice.project_id})
    where = f" in {', '.join(projects[:3])}" if projects else ""
    more = f" and {len(projects) - 3} more" if len(projects) > 3 else ""
    return f"{len(notices)} alerts: {', '.join(parts)}{where}{more}"
