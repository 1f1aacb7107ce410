"""The tables of the metrics layer, in the order of the flow."""

from radar_assets.events.tables import EVENTS, SESSIONS
from radar_assets.lakehouse.table import Column, Headline, Measure, Table

LAYER = "radar_assets.metrics"

HOURLY_METRICS = Table(
    name="hourly_metrics",
    description="Metrics of each project and hour, one row per metric.",
    columns=(
        Column("project_id", "string", "The project.", nullable=False),
        Column("hour", "timestamp", "Start of the hour, UTC.", nullable=False),
        Column("metric", "string", "Name of the metric.", nullable=False),
        Column("value", "double", "Value in the metric's unit.", nullable=False),
    ),
    partition_by=(("hour", "hour"),),
    key=("project_id", "hour", "metric"),
    inputs=(EVENTS,),
    version=2,
    headline=Headline(
        LAYER,
        (
            Measure("visitors"),
            Measure("page_views"),
            Measure("conversions"),
            Measure("revenue", "currency"),
            Measure("events"),
        ),
    ),
)

DAILY_METRICS = Table(
    name="daily_metrics",
    description="Metrics of each project and local day, one row per metric. Distinct counts are of the day, not sums of hours.",
    columns=(
        Column("project_id", "string", "The project.", nullable=False),
        Column("date", "date", "The day, in the time zone of the project.", nullable=False),
        Column("metric", "string", "Name of the metric.", nullable=False),
        Column("value", "double", "Value in the metric's unit.", nullable=False),
    ),
    partition_by=(("date", "day"),),
    key=("project_id", "date", "metric"),
    inputs=(SESSIONS, EVENTS),
    version=2,
    headline=Headline(
        LAYER,
        (
            Measure("visitors"),
            Measure("page_views"),
            Measure("sessions"),
            Measure("conversions"),
            Measure("revenue", "currency"),
            Measure("events"),
        ),
    ),
)

DAILY_BREAKDOWNS = Table(
    name="daily_breakdowns",
    description="Each local day by page, channel, browser and other dimensions: the top 1,000 values, the rest as `(other)`.",
    columns=(
        Column("project_id", "string", "The project.", nullable=False),
        Column("date", "date", "The day, in the time zone of the project.", nullable=False),
        Column(
            "dimension",
            "string",
            "`page` or `event`, of the events that happened on the day; or `channel` and others, of the sessions that start on "
            "the day.",
            nullable=False,
        ),
        Column(
            "value",
            "string",
            "Value of the dimension; `(none)` if it is missing, `(other)` for the rest.",
            nullable=False,
        ),
        Column(
            "events",
            "long",
            "Events; for dimensions of sessions, all events of the day's sessions.",
            nullable=False,
            unit="events",
        ),
        Column("page_views", "long", "Page views, counted like events.", nullable=False, unit="page views"),
        Column("visitors", "long", "Distinct visitors.", nullable=False, unit="visitors"),
        Column("sessions", "long", "Sessions; null for dimensions of single events.", unit="sessions"),
    ),
    partition_by=(("date", "day"),),
    key=("project_id", "date", "dimension", "value"),
    inputs=(SESSIONS, EVENTS),
    version=2,
    headline=Headline(
        LAYER,
        (Measure("visitors", empty=None), Measure("page_views", empty=None), Measure("sessions", empty=None)),
        plotted=None,
    ),
)

TABLES = (HOURLY_METRICS, DAILY_METRICS, DAILY_BREAKDOWNS)
