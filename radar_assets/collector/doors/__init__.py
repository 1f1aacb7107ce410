"""The doors: one module per protocol, for its requests and responses."""

from radar_assets.collector.door import Door
from radar_assets.collector.doors.plausible import PlausibleDoor
from radar_assets.collector.doors.posthog import PostHogDoor
from radar_assets.collector.doors.radar import RadarDoor
from radar_assets.collector.doors.segment import SegmentDoor
from radar_assets.collector.doors.snowplow import SnowplowDoor
from radar_assets.collector.doors.umami import UmamiDoor

DOORS: tuple[Door, ...] = (RadarDoor(), SegmentDoor(), PostHogDoor(), SnowplowDoor(), UmamiDoor(), PlausibleDoor())
