"""Health of the platform: checks of each part that Radar needs, and their results."""
