"""Who may do what: projects, their keys and the limits of what they may send, shared by the collector and the API."""
