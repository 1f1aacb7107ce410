"""The tables of the alerts layer. They are built from the operational store and so have no other table as an input."""

from radar_assets.lakehouse.contract import Column, Table

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

TABLES = (ALERTS,)
