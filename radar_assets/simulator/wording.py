"""The content of events: JSON fragments for each step, page, client and source, which `lines.py` joins."""

import json
from enum import IntEnum

from radar_assets.simulator.clients import CLIENTS, COUNTRIES, Client, Kind
from radar_assets.simulator.journeys import LAST_VIEW, Step
from radar_assets.simulator.projects import SimulatedProject
from radar_assets.simulator.site import Page, Product, pages, products
from radar_assets.simulator.sources import Source

S = Step

_CATEGORIES = {
    S.ADD_TO_CART: "commerce",
    S.PURCHASE: "commerce",
    S.SIGN_UP: "account",
    S.BUTTON: "engagement",
    S.SEARCH: "engagement",
    S.VIDEO: "engagement",
    S.ERROR: "errors",
    S.PAYMENT_FAILED: "errors",
}
_NAMES = {
    S.BUTTON: "button_clicked",
    S.SEARCH: "search",
    S.VIDEO: "video_played",
    S.ADD_TO_CART: "add_to_cart",
    S.SIGN_UP: "sign_up",
    S.IDENTIFY: "identify",
    S.PURCHASE: "purchase",
    S.ERROR: "error",
    S.PAYMENT_FAILED: "error",
    S.INVOICE: "invoice_sent",
    S.EXPORT: "report_exported",
    S.ENGAGEMENT: "engagement",
    S.ORDER_REPORT: "Order Completed",
    S.REFUND: "Order Refunded",
}
_DETAILS: dict[Step, list[dict[str, object]]] = {
    S.BUTTON: [
        {"button": name, "position": position}
        for name, position in (
            ("Learn more", "hero"),
            ("Watch demo", "hero"),
            ("Subscribe", "footer"),
            ("Contact us", "nav"),
        )
    ],
    S.SEARCH: [
        {"query": query, "results": results}
        for query, results in (
            ("gift", 18),
            ("returns", 4),
            ("mini", 8),
            ("discount code", 0),
            ("größe", 2),
            ("deluxe", 8),
        )
    ],
    S.VIDEO: [
        {"video": name, "seconds": seconds}
        for name, seconds in (("tour", 94), ("tour", 31), ("unboxing", 210), ("customer story", 65))
    ],
    S.SIGN_UP: [
        {"method": method, "plan": plan}
        for method, plan in (("email", "free"), ("google", "free"), ("email", "trial"), ("apple", "free"))
    ],
    S.IDENTIFY: [{"traits": {"plan": plan}} for plan in ("free", "free", "trial", "pro")],
    S.ERROR: [
        {"message": message, "source": source}
        for message, source in (
            ("TypeError: Cannot read properties of undefined (reading 'id')", "app.js"),
            ("Request failed with status code 503", "api"),
            ("Network request timed out", "api"),
            ("ChunkLoadError: Loading chunk 42 failed", "app.js"),
        )
    ],
    S.PAYMENT_FAILED: [{"message": "PaymentError: The payment sheet could not be opened", "source": "checkout.js"}],
    S.INVOICE: [{"lines": lines, "status": "sent"} for lines in (1, 2, 3, 7)],
    S.EXPORT: [{"format": format_, "rows": rows} for format_, rows in (("csv", 1200), ("xlsx", 340), ("pdf", 25))],
}
QUANTITIES = (1, 1, 1, 2, 1, 3)
SALES = (S.ADD_TO_CART, S.PURCHASE, S.ORDER_REPORT, S.REFUND)
ABOUT_ORDERS = (S.PURCHASE, S.ORDER_REPORT, S.REFUND)
_AMOUNTS = {S.ADD_TO_CART: "price", S.PURCHASE: "revenue", S.ORDER_REPORT: "total", S.REFUND: "total"}
_CURRENCIES = {"EUR": "{} €", "USD": "${}", "JPY": "¥{}", "GBP": "£{}"}
PLACEHOLDERS = ("undefined", "null", "0", "", "[object Object]", "00000000-0000-0000-0000-000000000000")
HASH_ROUTED = Page.ACCOUNT
"""The page that is routed by the fragment of its URL when it is spelled in an unusual way."""
HASH_ROUTING = '"page":{"hash_routing":true},'


class Spelling(IntEnum):
    """How the URLs of a visitor are written."""

    PLAIN = 0
    UNUSUAL = 1
    STAGING = 2


def members(of: object) -> str:
    """The members of an object as JSON, without its braces."""
    return json.dumps(of, ensure_ascii=False, separators=(",", ":"))[1:-1]


def heading(project: SimulatedProject, step: Step, in_app: bool) -> str:
    """The fragment from the project to the category."""
    if step <= LAST_VIEW:
        kind, name = ("screen", "screen_view") if in_app else ("page", "page_view")
    else:
        kind, name = "identify" if step == S.IDENTIFY else "track", _NAMES.get(step, "")
    category = {"category": _CATEGORIES[step]} if step in _CATEGORIES else {}
    return members({"project_id": project.id, "type": kind, "event": name, **category})


def url(project: SimulatedProject, path: str, spelling: Spelling = Spelling.PLAIN) -> str:
    """URL of a page."""
    if spelling == Spelling.STAGING:
        return f"https://staging.{project.host}{path}"
    if spelling == Spelling.UNUSUAL:
        return f"https://{project.host.title()}:443/./{path[1:2].replace('p', '%70')}{path[2:]}"
    return f"https://{project.host}{path}"


def page_urls(project: SimulatedProject) -> list[str]:
    """URL of each page."""
    return [url(project, page.path) for page in pages(project)]


def view_properties(project: SimulatedProject, lean: bool, spelling: Spelling) -> list[str]:
    """For each page, the fragment of a page view up to the end of its URL. Lean ones, and those with unusual URLs, omit the path."""
    fragments = []
    for index, page in enumerate(pages(project)):
        address = url(project, page.path, spelling)
        if spelling == Spelling.UNUSUAL and index == HASH_ROUTED:
            address = url(project, f"/#{page.path}")
        path = {} if lean or spelling == Spelling.UNUSUAL else {"path": page.path}
        fragments.append(members({**path, "title": page.title, "url": address})[:-1])
    return fragments


def screen_properties(project: SimulatedProject) -> list[str]:
    """For each page, the fragment of a screen view in the app."""
    return [members({"name": page.title, "path": page.path}) + '},"context":{' for page in pages(project)]


def step_properties(project: SimulatedProject, step: Step) -> list[str]:
    """The fragment of a step in each of its variations: for sales, each product in each quantity, first with numbers as amounts."""
    details = _DETAILS.get(step, [{}])
    if step in SALES:
        details = [
            _sale(project, product, count, step, is_text)
            for is_text in (False, True)
            for product in products(project)
            for count in QUANTITIES
        ]
    end = '},"context":{"interactive":false,' if step == S.ENGAGEMENT else '},"context":{'
    return [members(each) + end for each in details]


def _sale(project: SimulatedProject, product: Product, quantity: int, step: Step, is_text: bool) -> dict[str, object]:
    amount = product.price_minor * quantity / 100
    written = _CURRENCIES.get(project.currency, f"{project.currency} {{}}").format(f"{amount:.2f}")
    sold = {_AMOUNTS[step]: written if is_text else amount}
    return {"product": product.slug, "quantity": quantity, **sold, "currency": project.currency}


def page_context(project: SimulatedProject, spelling: Spelling) -> list[str]:
    """For each page, the page context of events other than views."""
    return [
        '"page":{' + members({"path": page.path, "url": url(project, page.path, spelling)}) + "},"
        for page in pages(project)
    ]


def referrer(address: str) -> str:
    """The fragment from the end of a view's URL to the start of its context."""
    return f'","referrer":"{address}"}},"context":{{'


def query(source: Source) -> str:
    """The query string that a campaign adds to the URL of the landing page."""
    parameters = {
        f"utm_{'campaign' if name == 'name' else name}": value for name, value in (source.campaign or {}).items()
    }
    return (
        ("?" + "&".join(f"{name}={value.replace(' ', '+')}" for name, value in parameters.items()))
        if parameters
        else ""
    )


def campaign_context(source: Source) -> str:
    """The campaign in the context of the landing page."""
    return members({"campaign": source.campaign}) + "," if source.campaign else ""


def client_contexts(lean: bool) -> list[str]:
    """For each client and country, in that order, the context of their events. Lean ones omit the library."""
    return [_client_context(client, country, locale, lean) for client in CLIENTS for country, locale, _ in COUNTRIES]


def _client_context(client: Client, country: str, locale: str, lean: bool) -> str:
    context: dict[str, object] = {} if lean and client.kind != Kind.SERVER else {"library": {"name": client.library}}
    if client.os:
        context["os"] = {"name": client.os}
    if client.kind != Kind.SERVER:
        context |= {"userAgent": client.user_agent, "locale": locale, "location": {"country": country}}
    return members(context)


_AREAS = ("checkout", "pricing", "search", "onboarding", "navigation", "recommendations", "profile", "editor", "mail")
_IDEAS = ("layout", "copy", "button", "banner", "speed", "sorting", "images", "hints", "sidebar", "steps")
_ARMS = ("control", "treatment", "off", "variant-b")
_VARIATIONS = 64


def further_contexts(size: int) -> list[str]:
    """Additional context of `size` bytes on average: the site's release, then as many experiments as needed."""
    if size <= 0:
        return [""]
    spread = (size * (_VARIATIONS + 2 * index + 1) // (2 * _VARIATIONS) for index in range(_VARIATIONS))
    return [_further_context(each, index) for index, each in enumerate(spread)]


def _further_context(size: int, index: int) -> str:
    release = f',"release":"2026.{index % 12 + 1}.{index}"'
    if size < len(release):
        # Either the whole release or nothing, so that small sizes are also right on average.
        return release if index * 37 % _VARIATIONS < _VARIATIONS * size // len(release) else ""
    arms, length, nth = [], len(release) + len(',"experiments":{}'), index
    while length < size:
        round_, test = divmod(nth, len(_AREAS) * len(_IDEAS))
        name = f"{_AREAS[test % len(_AREAS)]}-{_IDEAS[test // len(_AREAS)]}" + (f"-{round_ + 1}" if round_ else "")
        arms.append((name, _ARMS[nth * 7 % len(_ARMS)]))
        length += len(name) + len(arms[-1][1]) + len('"":"",')
        nth += 1
    # The last experiment exceeds the size. Every other context omits it, so that the mean is right.
    arms = arms[: len(arms) - index % 2]
    return release + (f',"experiments":{{{members(dict(arms))}}}' if arms else "")
