"""The tables of the alerts layer. They are built from the operational store and have no other table as input."""

from radar_assets.lakehouse.table import Column, Headline, Measure, Table

LAYER = "radar_assets.alerts"

ALERTS = Table(
    name="alerts",
    description="Alerts: stretches of windows in which a project broke a rule, by the hour in which they fired.",
    columns=(
        Column("alert_id", "string", "Id of the alert, as `radar alerts` shows it.", nullable=False),
        Column("rule", "string", "Name of the rule.", nullable=False),
        Column("kind", "string", "`threshold`, `error` or `anomaly`.", nullable=False),
        Column("severity", "string", "`low`, `medium`, `high` or `critical`.", nullable=False),
        Column("project_id", "string", "The project; empty for alerts about Radar itself.", nullable=False),
        Column("subject", "string", "What an alert about Radar itself is about, such as a run.", nullable=False),
        Column(
            "started_at",
            "timestamp",
            "Start of the first window that broke the rule. Rules over days have dates of the project: midnight, as if in UTC.",
            nullable=False,
        ),
        Column(
            "fired_at",
            "timestamp",
            "Start of the window that made the alert fire.",
            nullable=False,
        ),
        Column("ended_at", "timestamp", "End of the last window that broke the rule so far.", nullable=False),
        Column("windows", "long", "Windows from the first to the last.", nullable=False, unit="windows"),
        Column("value", "double", "Value of the last window, in the metric's unit; null if there was none."),
        Column("threshold", "double", "Threshold that the value was compared with.", nullable=False),
        Column("state", "string", "`firing`, `no_data`, `resolved` or `ended_without_data`.", nullable=False),
        Column("announced_at", "timestamp", "When it was first announced; null if it was only recorded."),
        Column("acknowledged_at", "timestamp", "When it was acknowledged."),
        Column("acknowledged_by", "string", "Who acknowledged it."),
        Column("resolved_at", "timestamp", "When its end was detected."),
    ),
    partition_by=(("fired_at", "hour"),),
    key=("alert_id",),
    headline=Headline(LAYER, (Measure("alerts"), Measure("firing")), plotted="rule"),
)

TABLES = (ALERTS,)
