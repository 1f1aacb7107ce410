"""Access control: keys of projects and limits on their events, shared by the collector and the API."""
