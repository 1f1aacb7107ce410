"""The tables of the event layer, in the order of the flow."""

from radar_assets.lakehouse.contract import Column, Table

_IDENTITY = (
    Column("event_id", "string", "The sender's id of the event; unique within a project."),
    Column("project_id", "string", "The project that the event belongs to."),
)

_ORIGIN = (
    Column("received_hour", "timestamp", "Hour of the landing folder that the line was found in.", nullable=False),
    Column("segment", "string", "Name of the segment that the line was found in.", nullable=False),
    Column(
        "line_number", "long", "Place of the line in its segment, from 1; 0 for the segment as a whole.", nullable=False
    ),
)

RAW_EVENTS = Table(
    name="raw_events",
    description="Every line that landed, once, with the verdict of the contract.",
    columns=(
        *_ORIGIN,
        Column("reason", "string", "Why the contract rejects the line; null for an accepted one."),
        Column("detail", "string", "The field at fault and its value, for a rejected line."),
        Column("line", "binary", "The bytes of the line as they landed, for a rejected line."),
        *_IDENTITY,
        Column("type", "string", "track, page, screen, identify, group or alias."),
        Column("event", "string", "Name of the event; `page_view` for pages."),
        Column("category", "string", "Free grouping by the sender."),
        Column("user_id", "string", "The sender's id of a known user."),
        Column("anonymous_id", "string", "The sender's id of a device or browser."),
        Column("session_id", "string", "The sender's id of the session, where it keeps one."),
        Column("event_time", "timestamp", "When it happened: `timestamp`, corrected when the sender's clock is off."),
        Column("timestamp", "timestamp", "When it happened by the sender's clock."),
        Column("sent_at", "timestamp", "When the sender sent it, by its own clock."),
        Column("received_at", "timestamp", "When the collector took it."),
        Column("properties", "string", "JSON object: what the event says of itself."),
        Column("context", "string", "JSON object: what the event says of its surroundings."),
        Column("protocol", "string", "The door it came in by."),
    ),
    partition_by=(("received_hour", "hour"), ("event_time", "hour")),
    key=("received_hour", "segment", "line_number"),
)

REJECTED_EVENTS = Table(
    name="rejected_events",
    description="The lines that the contract rejects, with the reason and the line itself; mend the cause and replay them.",
    columns=(
        *_ORIGIN,
        Column("reason", "string", "Why the contract rejects the line.", nullable=False),
        Column("detail", "string", "The field at fault and its value."),
        Column("line", "binary", "The bytes of the line as they landed."),
        Column("size_bytes", "long", "Length of the line.", unit="bytes"),
        Column("project_id", "string", "The project that the line names, where that much could be read."),
    ),
    partition_by=(("received_hour", "hour"),),
    key=("received_hour", "segment", "line_number"),
    inputs=(RAW_EVENTS,),
)

_CHANNEL = (
    Column("referrer", "string", "URL of the page that linked here."),
    Column("referrer_domain", "string", "Host of the referrer without `www.`; null where it is the site itself."),
    Column(
        "channel",
        "string",
        "Where the visit came from: Direct, Organic Search, Paid Search, Email, Referral and so on.",
    ),
    Column("utm_source", "string", "UTM parameter `utm_source` of the URL or the sender's campaign context."),
    Column("utm_medium", "string", "UTM parameter `utm_medium`."),
    Column("utm_campaign", "string", "UTM parameter `utm_campaign`."),
    Column("utm_term", "string", "UTM parameter `utm_term`."),
    Column("utm_content", "string", "UTM parameter `utm_content`."),
)

_CLIENT = (
    Column("browser", "string", "Family of the browser, such as `Chrome Mobile`."),
    Column("os", "string", "Family of the operating system, such as `Windows`."),
    Column("device_type", "string", "desktop, mobile, tablet or bot."),
    Column("country", "string", "ISO 3166-1 alpha-2 code, where the sender gave one."),
    Column(
        "is_bot", "boolean", "Whether it is not a person's: a bot's, or a server's word on a group.", nullable=False
    ),
)

EVENTS = Table(
    name="events",
    description="Accepted events, each counted once, enriched with what a web analyst expects.",
    columns=(
        Column("event_id", "string", "The sender's id of the event; unique within a project.", nullable=False),
        Column("project_id", "string", "The project that the event belongs to.", nullable=False),
        Column("type", "string", "track, page, screen, identify, group or alias.", nullable=False),
        Column("event", "string", "Name of the event; `page_view` for pages.", nullable=False),
        Column("category", "string", "Free grouping by the sender."),
        Column("user_id", "string", "The sender's id of a known user."),
        Column("anonymous_id", "string", "The sender's id of a device or browser."),
        Column("visitor_id", "string", "`anonymous_id`, else `user_id`.", nullable=False),
        Column("session_id", "string", "The sender's id of the session, where it keeps one."),
        Column("event_time", "timestamp", "When it happened, corrected for the sender's clock.", nullable=False),
        Column("sent_at", "timestamp", "When the sender sent it, by its own clock."),
        Column("received_at", "timestamp", "When the collector took it.", nullable=False),
        Column("url", "string", "URL of the page."),
        Column("host", "string", "Host of the page, in lower case."),
        Column("path", "string", "Path of the page, without query and fragment."),
        Column("title", "string", "Title of the page or name of the screen."),
        *_CHANNEL,
        *_CLIENT,
        Column("browser_version", "string", "Major version of the browser."),
        Column(
            "revenue", "decimal(18,4)", "`properties.revenue`, in the currency that the sender uses.", unit="currency"
        ),
        Column("properties", "string", "JSON object: what the event says of itself."),
        Column("context", "string", "JSON object: what the event says of its surroundings."),
        Column("protocol", "string", "The door it came in by."),
        *_ORIGIN,
    ),
    partition_by=(("event_time", "hour"),),
    key=("project_id", "event_id"),
    inputs=(RAW_EVENTS,),
    input_time="event_time",
)

SESSIONS = Table(
    name="sessions",
    description="Visits: runs of events of one visitor, by the day on which they start.",
    columns=(
        Column(
            "session_id", "string", "Id of the session: a digest of its project, visitor and start.", nullable=False
        ),
        Column("project_id", "string", "The project that the session belongs to.", nullable=False),
        Column("visitor_id", "string", "`anonymous_id`, else `user_id`, of its events.", nullable=False),
        Column("user_id", "string", "The first user id seen in the session."),
        Column("sender_session_id", "string", "The sender's own id of the session, where it keeps one."),
        Column("started_at", "timestamp", "Time of the first event.", nullable=False),
        Column("ended_at", "timestamp", "Time of the last event.", nullable=False),
        Column("duration_s", "double", "From the first event to the last.", nullable=False, unit="s"),
        Column("events", "long", "Events in the session.", nullable=False, unit="events"),
        Column(
            "events_after_midnight",
            "long",
            "Those of them that fall on the following day.",
            nullable=False,
            unit="events",
        ),
        Column("page_views", "long", "Page views in the session.", nullable=False, unit="page views"),
        Column("is_bounce", "boolean", "Whether it is one page view and no other event.", nullable=False),
        Column(
            "is_new_visitor", "boolean", "Whether the visitor started no session in the 30 days before.", nullable=False
        ),
        Column("entry_page", "string", "Path of the first page view."),
        Column("exit_page", "string", "Path of the last page view."),
        *_CHANNEL,
        *_CLIENT,
        Column("revenue", "decimal(18,4)", "Revenue of the session.", nullable=False, unit="currency"),
    ),
    partition_by=(("started_at", "day"),),
    key=("project_id", "session_id"),
    inputs=(EVENTS,),
)

TABLES = (RAW_EVENTS, REJECTED_EVENTS, EVENTS, SESSIONS)
