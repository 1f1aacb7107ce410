"""The doors, one module for each protocol: what its senders write, and what they want to read in answer."""

from radar_assets.collector.door import Door
from radar_assets.collector.doors.radar import RadarDoor

DOORS: tuple[Door, ...] = (RadarDoor(),)
