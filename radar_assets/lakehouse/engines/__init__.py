"""Engines run SQL models over files. Each is a module, selected by the setting `RADAR_ENGINE`."""
