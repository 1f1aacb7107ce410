"""Who may do what: keys of projects and the limits of what they may send, shared by the collector and the API."""
