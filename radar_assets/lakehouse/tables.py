"""The column contracts of all tables, in the order in which the data flows.

A table belongs here as soon as anything reads it. How its rows come about is in the `.sql` file of the same name.
"""

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
)

HOURLY_METRICS = Table(
    name="hourly_metrics",
    description="Metrics of each project and hour, one row a metric.",
    columns=(
        Column("project_id", "string", "The project.", nullable=False),
        Column("hour", "timestamp", "Start of the hour.", nullable=False),
        Column("metric", "string", "Name of the metric in the registry.", nullable=False),
        Column("value", "double", "Value in the metric's unit.", nullable=False),
    ),
    partition_by=(("hour", "hour"),),
    key=("project_id", "hour", "metric"),
)

DAILY_METRICS = Table(
    name="daily_metrics",
    description="Metrics of each project and day, one row a metric; distinct counts are of the day, not sums of hours.",
    columns=(
        Column("project_id", "string", "The project.", nullable=False),
        Column("date", "date", "The day.", nullable=False),
        Column("metric", "string", "Name of the metric in the registry.", nullable=False),
        Column("value", "double", "Value in the metric's unit.", nullable=False),
    ),
    partition_by=(("date", "day"),),
    key=("project_id", "date", "metric"),
)

DAILY_BREAKDOWNS = Table(
    name="daily_breakdowns",
    description="What each day consists of, by page, channel, browser and so on: the top 1,000 values, the rest as `(other)`.",
    columns=(
        Column("project_id", "string", "The project.", nullable=False),
        Column("date", "date", "The day.", nullable=False),
        Column("dimension", "string", "What is broken down by, such as `page` or `channel`.", nullable=False),
        Column(
            "value",
            "string",
            "Value of the dimension; `(none)` where there is none, `(other)` for the rest.",
            nullable=False,
        ),
        Column("events", "long", "Events.", nullable=False, unit="events"),
        Column("page_views", "long", "Page views.", nullable=False, unit="page views"),
        Column("visitors", "long", "Distinct visitors.", nullable=False, unit="visitors"),
        Column("sessions", "long", "Sessions; null for the dimensions of single events.", unit="sessions"),
    ),
    partition_by=(("date", "day"),),
    key=("project_id", "date", "dimension", "value"),
)

ALERTS = Table(
    name="alerts",
    description="What fired: stretches of windows in which a project broke a rule, by the hour in which they began.",
    columns=(
        Column("alert_id", "string", "Id of the alert, as `radar alerts` shows it.", nullable=False),
        Column("rule", "string", "Name of the rule.", nullable=False),
        Column("kind", "string", "threshold, error or anomaly.", nullable=False),
        Column("severity", "string", "low, medium, high or critical.", nullable=False),
        Column("project_id", "string", "The project; empty for alerts about the platform itself.", nullable=False),
        Column("subject", "string", "What alerts about the platform tell apart, such as a run.", nullable=False),
        Column("started_at", "timestamp", "Start of the first window that broke the rule.", nullable=False),
        Column(
            "fired_at",
            "timestamp",
            "Start of the first window at which it had been broken long enough.",
            nullable=False,
        ),
        Column("ended_at", "timestamp", "End of the last such window so far.", nullable=False),
        Column("windows", "long", "Windows from the first to the last.", nullable=False, unit="windows"),
        Column("value", "double", "Value of the last window, in the metric's unit; null where there was none."),
        Column("threshold", "double", "What it was held against.", nullable=False),
        Column("state", "string", "firing or resolved.", nullable=False),
        Column("announced_at", "timestamp", "When it was first announced; null for what was only recorded."),
        Column("acknowledged_at", "timestamp", "When somebody said that they look after it."),
        Column("acknowledged_by", "string", "Who did."),
        Column("resolved_at", "timestamp", "When it was found that it had ended."),
    ),
    partition_by=(("fired_at", "hour"),),
    key=("alert_id",),
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        RAW_EVENTS,
        REJECTED_EVENTS,
        EVENTS,
        SESSIONS,
        HOURLY_METRICS,
        DAILY_METRICS,
        DAILY_BREAKDOWNS,
        ALERTS,
    )
}
