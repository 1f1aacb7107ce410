"""The pages of the simulated sites. Every project has the same kinds of pages, with its own products and articles.

A page is identified by its index in `pages`.
"""

from dataclasses import dataclass
from enum import IntEnum

from radar_assets.simulator.projects import SimulatedProject


class Page(IntEnum):
    """Indices of the single pages; those of products and articles follow."""

    HOME = 0
    PRICING = 1
    SIGN_UP = 2
    CHECKOUT = 3
    THANKS = 4
    ACCOUNT = 5


@dataclass(frozen=True)
class SitePage:
    """A page: its path and title."""

    path: str
    title: str


@dataclass(frozen=True)
class Product:
    """A product. `price_minor` is in hundredths of the project's currency."""

    slug: str
    title: str
    price_minor: int


# fmt: off
_GOODS = (
    "Aurora",
    "Basalt",
    "Cedar",
    "Dune",
    "Echo",
    "Flint",
    "Glacier",
    "Harvest",
    "Iris",
    "Jade",
    "Kite",
    "Lotus",
    "Maple",
    "Nova",
    "Onyx",
    "Pearl",
    "Quartz",
    "Ridge",
    "Sable",
    "Terra",
    "Umber",
    "Velvet",
    "Willow",
    "Zephyr",
)
# fmt: on
_TOPICS = ("Basics", "Guide", "Mistakes", "News", "Answers", "Ideas")
_ANGLES = ("for you", "for teams", "at home", "in 2026")
PRODUCTS = len(_GOODS)
ARTICLES = len(_TOPICS) * len(_ANGLES)
FIRST_PRODUCT = len(Page)
FIRST_ARTICLE = FIRST_PRODUCT + PRODUCTS
PAGES = FIRST_ARTICLE + ARTICLES

_FIXED = {
    Page.HOME: ("/", "Welcome"),
    Page.PRICING: ("/pricing", "Pricing"),
    Page.SIGN_UP: ("/signup", "Create your account"),
    Page.CHECKOUT: ("/checkout", "Checkout"),
    Page.THANKS: ("/thank-you", "Thank you"),
    Page.ACCOUNT: ("/account", "Your account"),
}


def products(project: SimulatedProject) -> list[Product]:
    """The products of the project, best sellers first."""
    shift = len(project.id) % len(_GOODS)
    titles = _GOODS[shift:] + _GOODS[:shift]
    return [Product(_slug(title), title, (9 + 7 * index % 60) * 100 + 90) for index, title in enumerate(titles)]


def pages(project: SimulatedProject) -> list[SitePage]:
    """All pages of the project."""
    fixed = [SitePage(path, title) for path, title in _FIXED.values()]
    shop = [SitePage(f"/products/{product.slug}", product.title) for product in products(project)]
    titles = [f"{topic} {angle}" for angle in _ANGLES for topic in _TOPICS]
    blog = [SitePage(f"/blog/{_slug(title)}", title) for title in titles]
    return fixed + shop + blog


def _slug(title: str) -> str:
    return title.lower().replace(" ", "-")
