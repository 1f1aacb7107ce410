"""Which events show that somebody is there: neither passive nor sent by a server without the context of a browser or app.

`events.sql` takes the lists from here; the functions are for the live numbers, which read one event at a time.
"""

import json
from collections.abc import Mapping
from typing import Any

from radar_assets.events.event_names import literals

PASSIVE_TYPES = ("identify", "group", "alias")
PASSIVE_EVENTS = (
    # Plausible's tracker sends it when a page is left.
    "engagement",
    # Snowplow
    *("page_ping", "screen_end", "screen_summary", "application_background"),
    # Segment's family, on mobile
    "application backgrounded",
    # PostHog
    *("$pageleave", "$screenleave", "$web_vitals", "$performance_event", "$exception", "$csp_violation"),
    *("$set", "$set_once", "$unset", "$identify", "$create_alias", "$merge_dangerously", "$groupidentify"),
    *("$feature_flag_called", "$experiment_started", "$web_experiment_applied", "$opt_in"),
    *("$snapshot", "$snapshot_items", "$heatmap", "$$heatmap"),
)
"""Events that SDKs send on their own, in lower case. They don't mean that a visitor did something."""
VIEWS = ("page", "screen", "page_view", "screen_view")
"""Types and names of events that only browsers and apps send."""
CLIENT_CONTEXT = ("app", "device", "screen", "viewport")
"""Fields of the context that only browsers and apps send. Servers send `library`, and some `os`."""
CLIENT_PROPERTIES = ("$screen_name", "$app_version", "$app_build", "$device_model", "$browser", "$screen_width")
"""The same for the properties of PostHog's SDKs."""
CLIENT_PLATFORMS = ("web", "mob", "app", "tv", "cnsl")
"""Platforms of Snowplow's trackers; those of servers are `srv` and, by default, `pc`."""


def interaction_fragments() -> dict[str, str]:
    """The lists of this module, for `events.sql`."""
    context, properties = map("$.{}".format, CLIENT_CONTEXT), map('$."{}"'.format, CLIENT_PROPERTIES)
    return {
        "passive_types": literals(PASSIVE_TYPES),
        "passive_prefixed": literals(name for name in PASSIVE_EVENTS if name.startswith("$")),
        "passive_plain": literals(name for name in PASSIVE_EVENTS if not name.startswith("$")),
        "views": literals(VIEWS),
        "client_context": f"[{literals(context)}]",
        "client_properties": f"[{literals(properties)}]",
        "client_platforms": literals(CLIENT_PLATFORMS),
    }


def is_interactive(
    type: str | None, event: str, protocol: str, properties: Mapping[str, Any], context: Mapping[str, Any]
) -> bool:
    """Whether somebody did something: not an automatic event, and not marked as passive by the sender."""
    return not (
        type in PASSIVE_TYPES
        or event.lower() in PASSIVE_EVENTS
        or _says(context, "interactive", "false", "0")
        or (protocol == "plausible" and _says(properties, "interactive", "false", "0"))
        or _says(properties, "nonInteraction", "true", "1")
        or _says(properties, "non_interaction", "true", "1")
    )


def is_from_server(
    session_id: str | None,
    type: str | None,
    event: str,
    page: str | None,
    properties: Mapping[str, Any],
    context: Mapping[str, Any],
) -> bool:
    """Whether a server sent the event: without a session id, and without the context of a browser or app.

    Args:
        page: path of the page, if any.
    """
    return not (
        session_id is not None
        or page is not None
        or type in VIEWS
        or event in VIEWS
        or any(fields.get(name) is not None for fields, name in _agents(properties, context))
        or any(context.get(name) is not None for name in CLIENT_CONTEXT)
        or any(properties.get(name) is not None for name in CLIENT_PROPERTIES)
        or context.get("platform") in CLIENT_PLATFORMS
    )


def _agents(properties: Mapping[str, Any], context: Mapping[str, Any]) -> tuple[tuple[Mapping[str, Any], str], ...]:
    return ((context, "userAgent"), (context, "user_agent"), (properties, "$raw_user_agent"))


def _says(fields: Mapping[str, Any], name: str, *words: str) -> bool:
    value = fields.get(name)
    return (value if isinstance(value, str) else json.dumps(value)) in words
