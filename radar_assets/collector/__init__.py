"""The collector: HTTP in, durable segments of the landing zone out.

A door turns one protocol's requests into canonical events; everything else here is shared by all doors.
"""
