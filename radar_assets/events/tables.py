"""The tables of the event layer, in the order of the flow."""

from radar_assets.lakehouse.table import Column, Headline, Measure, Table

LAYER = "radar_assets.events"

_IDENTITY = (
    Column("event_id", "string", "The sender's id of the event; unique within a project."),
    Column("project_id", "string", "Project of the event."),
)

_ORIGIN = (
    Column("received_hour", "timestamp", "Hour of the landing folder that holds the segment.", nullable=False),
    Column("segment", "string", "Name of the segment that holds the line.", nullable=False),
    Column(
        "line_number",
        "long",
        "Line number in the segment, from 1; 0 means the whole segment.",
        nullable=False,
    ),
)

_AS_SENT = (
    Column(
        "sequence", "int", "Position of the event in its request, from 0; it decides the order of events of one time."
    ),
    Column(
        "warnings",
        "string",
        "What was unusable and was dropped or cut: `field: kind`, separated by commas; null if nothing.",
    ),
)

RAW_EVENTS = Table(
    name="raw_events",
    description="Every landed line, once, with the contract's verdict.",
    columns=(
        *_ORIGIN,
        Column("reason", "string", "Why the contract rejects the line; null if it is accepted."),
        Column("detail", "string", "The invalid field and its value, for rejected lines."),
        Column("line", "binary", "The bytes of the line as they landed, for rejected lines."),
        *_IDENTITY,
        Column("type", "string", "`track`, `page`, `screen`, `identify`, `group` or `alias`."),
        Column("event", "string", "Name of the event, such as `page_view`."),
        Column("category", "string", "Category chosen by the sender."),
        Column("user_id", "string", "The sender's id of a signed-in user."),
        Column("anonymous_id", "string", "The sender's id of a device or browser."),
        Column("session_id", "string", "The sender's session id, if it has one."),
        Column(
            "event_time", "timestamp", "When the event happened: `timestamp`, corrected if the sender's clock is off."
        ),
        Column("timestamp", "timestamp", "When the event happened, by the sender's clock."),
        Column("sent_at", "timestamp", "When the event was sent, by the sender's clock."),
        Column("received_at", "timestamp", "When the collector received the event."),
        Column("properties", "string", "JSON object with the properties of the event."),
        Column("context", "string", "JSON object with the context, such as page, campaign and user agent."),
        Column("protocol", "string", "Name of the door that received the event, such as `segment`."),
        *_AS_SENT,
    ),
    partition_by=(("received_hour", "hour"), ("event_time", "hour")),
    key=("received_hour", "segment", "line_number"),
    version=2,
)

REJECTED_EVENTS = Table(
    name="rejected_events",
    description="Lines that break the contract, with the reason and the line itself. Fix the cause, then replay them.",
    columns=(
        *_ORIGIN,
        Column("reason", "string", "Why the contract rejects the line.", nullable=False),
        Column("detail", "string", "The invalid field and its value."),
        Column("line", "binary", "The bytes of the line as they landed."),
        Column("size_bytes", "long", "Length of the line.", unit="bytes"),
        Column("project_id", "string", "Project in the line, if it can be read."),
    ),
    partition_by=(("received_hour", "hour"),),
    key=("received_hour", "segment", "line_number"),
    inputs=(RAW_EVENTS,),
    headline=Headline(LAYER, (Measure("rejected"),), plotted="reason"),
    version=2,
)

_CHANNEL = (
    Column("referrer", "string", "URL of the page that linked here."),
    Column(
        "referrer_domain", "string", "Host of the referrer without `www.`; null for the site itself and its subdomains."
    ),
    Column(
        "channel",
        "string",
        "Where the visit came from: Direct, Organic Search, Paid Search, Email, Referral and so on.",
    ),
    Column("utm_source", "string", "UTM parameter `utm_source`, from the URL or the campaign in the context."),
    Column("utm_medium", "string", "UTM parameter `utm_medium`."),
    Column("utm_campaign", "string", "UTM parameter `utm_campaign`."),
    Column("utm_term", "string", "UTM parameter `utm_term`."),
    Column("utm_content", "string", "UTM parameter `utm_content`."),
)

_CLIENT = (
    Column("browser", "string", "Browser family, such as `Chrome Mobile`."),
    Column("os", "string", "Operating system family, such as `Windows`."),
    Column("device_type", "string", "`desktop`, `mobile`, `tablet` or `bot`."),
    Column("country", "string", "ISO 3166-1 alpha-2 code, if the sender gave one."),
    Column(
        "is_bot",
        "boolean",
        "Whether the event was sent by a bot, or by a server about a group, and not by a person.",
        nullable=False,
    ),
)

EVENTS = Table(
    name="events",
    description="Accepted events without copies, enriched with page, channel, campaign, browser, device and country.",
    columns=(
        Column("event_id", "string", "The sender's id of the event; unique within a project.", nullable=False),
        Column("project_id", "string", "Project of the event.", nullable=False),
        Column("type", "string", "`track`, `page`, `screen`, `identify`, `group` or `alias`.", nullable=False),
        Column("event", "string", "Name of the event, such as `page_view`.", nullable=False),
        Column("category", "string", "Category chosen by the sender."),
        Column("user_id", "string", "The sender's id of a signed-in user."),
        Column("anonymous_id", "string", "The sender's id of a device or browser."),
        Column("visitor_id", "string", "`anonymous_id`, else `user_id`.", nullable=False),
        Column("session_id", "string", "The sender's session id, if it has one."),
        Column("event_time", "timestamp", "When the event happened, corrected for the sender's clock.", nullable=False),
        Column("sent_at", "timestamp", "When the event was sent, by the sender's clock."),
        Column("received_at", "timestamp", "When the collector received the event.", nullable=False),
        Column("url", "string", "URL of the page."),
        Column("host", "string", "Host of the page, in lower case and without port."),
        Column(
            "path",
            "string",
            "Path of the page in normal form, without query and session ids; with the fragment if it routes within an app.",
        ),
        Column("title", "string", "Title of the page or name of the screen."),
        *_CHANNEL,
        *_CLIENT,
        Column("browser_version", "string", "Major version of the browser."),
        Column(
            "revenue",
            "decimal(18,4)",
            "Amount of the purchase, once per order, in the sender's currency; null for other events.",
            unit="currency",
        ),
        Column("properties", "string", "JSON object with the properties of the event."),
        Column("context", "string", "JSON object with the context, such as page, campaign and user agent."),
        Column("protocol", "string", "Name of the door that received the event, such as `segment`."),
        *_ORIGIN,
        *_AS_SENT,
        Column(
            "is_interactive",
            "boolean",
            "Whether somebody did something; passive events start no visit and end no bounce.",
        ),
        Column(
            "is_internal", "boolean", "Whether the event is internal traffic by `radar.yaml`; metrics leave it out."
        ),
        Column(
            "is_from_server",
            "boolean",
            "Whether a server sent the event: without a session id, and without the context of a browser or app.",
        ),
        Column("order_id", "string", "The sender's id of the order, of events about orders."),
        Column(
            "order_event",
            "string",
            "`purchase`, once per order; `refund` or `cancellation`, once per refund; null for repetitions.",
        ),
        Column(
            "refund",
            "decimal(18,4)",
            "Amount of the refund or cancellation, once per refund, in the sender's currency.",
            unit="currency",
        ),
        Column(
            "event_name",
            "string",
            "`event` in lower case with underscores between words, or what the name counts as in `radar.yaml`.",
        ),
    ),
    partition_by=(("event_time", "hour"),),
    key=("project_id", "event_id"),
    inputs=(RAW_EVENTS,),
    input_time="event_time",
    headline=Headline(LAYER, (Measure("events"),)),
    version=2,
)

SESSIONS = Table(
    name="sessions",
    description="Visits: events with one session id of the sender, or of one device, by the local day on which they start.",
    columns=(
        Column("session_id", "string", "Hash of project, device or sender's session id, and start.", nullable=False),
        Column("project_id", "string", "Project of the session.", nullable=False),
        Column("visitor_id", "string", "Visitor of the first event: `anonymous_id`, else `user_id`.", nullable=False),
        Column("user_id", "string", "The first user id seen in the session."),
        Column("sender_session_id", "string", "The sender's session id, if it has one."),
        Column("started_at", "timestamp", "Time of the first event, which is interactive.", nullable=False),
        Column("ended_at", "timestamp", "Time of the last event.", nullable=False),
        Column("duration_s", "double", "Time from the first event to the last.", nullable=False, unit="s"),
        Column("events", "long", "Events in the session.", nullable=False, unit="events"),
        Column(
            "events_after_midnight",
            "long",
            "Events of the session that fall on a later day than its start.",
            nullable=False,
            unit="events",
        ),
        Column("page_views", "long", "Page views in the session.", nullable=False, unit="page views"),
        Column(
            "is_bounce",
            "boolean",
            "Whether the session has one page view and no other interactive event.",
            nullable=False,
        ),
        Column(
            "is_new_visitor",
            "boolean",
            "Whether neither the user, nor the device before somebody signed in, had a session in the 30 days before.",
            nullable=False,
        ),
        Column("entry_page", "string", "Path of the first page view."),
        Column("exit_page", "string", "Path of the last page view."),
        *_CHANNEL,
        *_CLIENT,
        Column("revenue", "decimal(18,4)", "Revenue of the session.", nullable=False, unit="currency"),
        Column("interactions", "long", "Interactive events in the session.", unit="events"),
        Column("orders", "long", "Orders in the session.", unit="orders"),
        Column("refunds", "decimal(18,4)", "Refunds in the session.", unit="currency"),
        Column("is_internal", "boolean", "Whether the session is internal traffic; metrics leave it out."),
        Column("other_user_ids", "string", "JSON array of further users in the session, as at a shared computer."),
        Column(
            "date",
            "date",
            "The day on which the session starts, in the time zone of the project.",
            default="cast(started_at as date)",
        ),
    ),
    partition_by=(("date", "day"),),
    key=("project_id", "session_id"),
    inputs=(EVENTS,),
    version=3,
    headline=Headline(
        LAYER,
        (
            Measure("sessions"),
            Measure("bounce_rate", "ratio", empty=None),
            Measure("median_duration", "s", empty=None),
        ),
    ),
)

TABLES = (RAW_EVENTS, REJECTED_EVENTS, EVENTS, SESSIONS)
