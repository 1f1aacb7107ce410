"""Clients and countries of the simulated visitors, with their shares.

User agents have the format of real clients, with versions current when this was written.
"""

from dataclasses import dataclass
from enum import IntEnum


class Kind(IntEnum):
    """The kind of client that sends the events. It determines their types and context."""

    BROWSER = 0
    APP = 1
    BOT = 2
    SERVER = 3


@dataclass(frozen=True)
class Client:
    """A client. `share` is per 1,000 new visitors; `browser` is its name in user agent parsers."""

    kind: Kind
    browser: str
    share: int
    user_agent: str | None
    library: str
    os: str | None = None


_WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
_WINDOWS = f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_WEBKIT}"
_MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
_LINUX = f"Mozilla/5.0 (X11; Linux x86_64) {_WEBKIT}"
_IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
_IPAD = "Mozilla/5.0 (iPad; CPU OS 17_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
_ANDROID = f"Mozilla/5.0 (Linux; Android 10; K) {_WEBKIT}"


def _browser(browser: str, share: int, user_agent: str) -> Client:
    return Client(Kind.BROWSER, browser, share, user_agent, "analytics.js")


def _bot(name: str, share: int, user_agent: str) -> Client:
    return Client(Kind.BOT, name, share, user_agent, "analytics.js")


CLIENTS = (
    _browser("Chrome", 150, f"{_WINDOWS} Chrome/138.0.0.0 Safari/537.36"),
    _browser("Chrome", 34, f"{_WINDOWS} Chrome/137.0.0.0 Safari/537.36"),
    _browser("Chrome", 62, f"{_MAC} {_WEBKIT} Chrome/138.0.0.0 Safari/537.36"),
    _browser("Chrome", 15, f"{_LINUX} Chrome/138.0.0.0 Safari/537.36"),
    _browser("Edge", 48, f"{_WINDOWS} Chrome/138.0.0.0 Safari/537.36 Edg/138.0.0.0"),
    _browser("Safari", 55, f"{_MAC} AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15"),
    _browser("Firefox", 27, "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    _browser("Firefox", 11, "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    _browser("Opera", 8, f"{_WINDOWS} Chrome/137.0.0.0 Safari/537.36 OPR/121.0.0.0"),
    _browser("Mobile Safari", 175, f"{_IPHONE} Version/18.5 Mobile/15E148 Safari/604.1"),
    _browser("Mobile Safari", 25, f"{_IPAD} Version/17.6 Mobile/15E148 Safari/604.1"),
    _browser("Chrome Mobile", 150, f"{_ANDROID} Chrome/138.0.0.0 Mobile Safari/537.36"),
    _browser("Samsung Internet", 26, f"{_ANDROID} SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36"),
    _browser("Firefox Mobile", 6, "Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0"),
    Client(Kind.APP, "", 85, f"{_IPHONE} Mobile/15E148", "analytics-swift", "iOS"),
    Client(
        Kind.APP,
        "",
        75,
        "Dalvik/2.1.0 (Linux; U; Android 15; Pixel 8 Build/AP4A.250205.002)",
        "analytics-kotlin",
        "Android",
    ),
    _bot(
        "Googlebot",
        2,
        f"Mozilla/5.0 {_WEBKIT}; compatible; Googlebot/2.1; +http://www.google.com/bot.html) Chrome/138.0.0.0",
    ),
    _bot(
        "bingbot",
        1,
        f"Mozilla/5.0 {_WEBKIT}; compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm) Chrome/136.0.0.0",
    ),
    _bot("AhrefsBot", 1, "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)"),
    _bot("GPTBot", 1, f"Mozilla/5.0 {_WEBKIT}; compatible; GPTBot/1.2; +https://openai.com/gptbot)"),
    _bot("HeadlessChrome", 1, f"{_LINUX} HeadlessChrome/137.0.0.0 Safari/537.36"),
    Client(Kind.SERVER, "", 30, None, "analytics-python"),
)

# Country, language, share per 1,000 visitors from outside the project's own country.
COUNTRIES = (
    ("US", "en-US", 260),
    ("DE", "de-DE", 110),
    ("GB", "en-GB", 95),
    ("FR", "fr-FR", 70),
    ("IN", "en-IN", 85),
    ("JP", "ja-JP", 55),
    ("BR", "pt-BR", 55),
    ("CA", "en-CA", 45),
    ("NL", "nl-NL", 30),
    ("ES", "es-ES", 35),
    ("IT", "it-IT", 30),
    ("PL", "pl-PL", 25),
    ("SE", "sv-SE", 18),
    ("AU", "en-AU", 27),
    ("KR", "ko-KR", 20),
    ("MX", "es-MX", 20),
    ("TR", "tr-TR", 10),
    ("CH", "de-CH", 10),
    ("NZ", "en-NZ", 8),
    ("NP", "ne-NP", 3),
)
HOME_SHARE = 0.6
