"""The base of errors that the user fixes by changing what they wrote: arguments, settings, or `radar.yaml`."""


class UsageError(Exception):
    """What the user wrote is invalid. The message says what and how to fix it; the command line exits with 2."""
