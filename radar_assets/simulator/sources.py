"""Sources of visits: referrers and campaigns, with their shares of all visits to a website."""

from dataclasses import dataclass

from radar_assets.simulator.incidents import SPIKE_REFERRER


@dataclass(frozen=True)
class Source:
    """A source of visits. `share` is per 1,000 visits; `campaign` has the UTM parameters of its links."""

    share: int
    referrer: str
    campaign: dict[str, str] | None = None


def _campaign(source: str, medium: str, name: str, **more: str) -> dict[str, str]:
    return {"source": source, "medium": medium, "name": name, **more}


SOURCES = (
    Source(270, ""),
    Source(290, "https://www.google.com/"),
    Source(40, "https://www.bing.com/"),
    Source(15, "https://duckduckgo.com/"),
    Source(45, "https://t.co/"),
    Source(45, "https://www.facebook.com/"),
    Source(20, "https://www.linkedin.com/"),
    Source(80, "", _campaign("newsletter", "email", "weekly-digest")),
    Source(60, "https://www.google.com/", _campaign("google", "cpc", "brand-search", term="best price")),
    Source(35, "https://www.facebook.com/", _campaign("facebook", "paid_social", "spring-sale", content="carousel")),
    Source(25, "", _campaign("x", "social", "launch-week")),
    Source(35, "https://brightside-reviews.example/best-of"),
    Source(25, "https://toolbox-weekly.example/issues/latest"),
    Source(15, f"https://{SPIKE_REFERRER}/today"),
)
SPIKE_SOURCE = len(SOURCES) - 1
