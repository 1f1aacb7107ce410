"""What names of events mean: in any spelling, with the names of `radar.yaml`."""

from pathlib import Path

import pytest

from radar_assets.config import ConfigError, load_config, load_declarations
from radar_assets.events.declarations import Declarations
from radar_assets.events.event_names import STANDARD_NAMES, EventName, spelled
from radar_assets_tests.events.enriching import enrich, raw_row

SPELLINGS = {
    "signed_up": (
        "SignedUp",
        "signedUp",
        "Signed Up",
        "SIGNED_UP",
        "signed-up",
        "signed.up",
        "signed_Up",
        " Signed - Up ",
    ),
    "order_completed": ("OrderCompleted", "order completed", "Order: Completed", "order/completed", "ORDER.COMPLETED"),
    "http_error": ("HTTPError", "HttpError", "http error"),
    "step2_done": ("Step2Done", "step2 done"),
    "$exception": ("$exception", "$Exception"),
    "signup": ("signup", "SIGNUP", "Signup"),
    "größe_gewählt": ("Größe gewählt", "größe\u00a0gewählt"),
}


def names_of(events: list[str], names: tuple[EventName, ...] = ()) -> dict[str, tuple[str, str | None]]:
    """The columns `event_name` and `order_event` of events, by event."""
    rows = [
        raw_row(event=event, type="track", event_id=str(index), line_number=index) for index, event in enumerate(events)
    ]
    return {
        row["event"]: (row["event_name"], row["order_event"])
        for row in enrich(rows, declared=Declarations(event_names=names))
    }


def test_spellings_are_one_name() -> None:
    expected = {event: name for name, events in SPELLINGS.items() for event in events}
    assert {event: spelled(event) for event in expected} == expected
    assert {event: name for event, (name, _) in names_of(list(expected)).items()} == expected


def test_names_about_orders_are_recognised_in_every_spelling_also_undivided() -> None:
    meanings = {
        spelling: meaning
        for meaning in ("purchase", "refund", "cancellation")
        for name in STANDARD_NAMES[meaning]
        for spelling in (name, name.title().replace("_", ""), name.replace("_", " ").upper(), name.replace("_", ""))
    }
    assert {event: found for event, (_, found) in names_of(list(meanings)).items()} == meanings


@pytest.mark.parametrize(
    "name", ["re-purchase", "purchase_failed", "Order Updated", "Checkout Started", "Product Added"]
)
def test_similar_names_are_other_names(name: str) -> None:
    assert names_of([name])[name][1] is None


def test_a_team_adds_names_and_takes_meanings_away() -> None:
    names = (
        EventName(name="Kauf abgeschlossen", counts_as="purchase"),
        EventName(name="it's paid", counts_as="purchase"),
        EventName(name="transaction", counts_as="nothing"),
        EventName(name="Neues Konto", counts_as="sign_up"),
    )
    events = ["kaufAbgeschlossen", "it's paid", "Transaction", "neues-konto", "purchase", "other"]
    assert names_of(events, names) == {
        "kaufAbgeschlossen": ("purchase", "purchase"),
        "it's paid": ("purchase", "purchase"),
        "Transaction": ("nothing", None),
        "neues-konto": ("sign_up", None),
        "purchase": ("purchase", "purchase"),
        "other": ("other", None),
    }


def test_names_are_read_from_radar_yaml(tmp_path: Path) -> None:
    file = tmp_path / "radar.yaml"
    file.write_text("event_names:\n- {name: Kauf, counts_as: purchase}\nmetrics: [not validated here]\n")
    assert load_declarations(file).event_names == (EventName(name="Kauf", counts_as="purchase"),)
    assert load_declarations(tmp_path / "missing.yaml").event_names == ()


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("- {name: Kauf, counts_as: buy}", "radar.yaml:2: event_name Kauf: counts_as: .*use one of purchase, refund"),
        ("- {name: Kauf}", 'event_name Kauf: required field "counts_as" is missing'),
        ("- {name: '...', counts_as: error}", "must be the name of an event"),
        ("- {name: ItsDone, counts_as: error}\n- {name: its done, counts_as: refund}", "its done is listed twice"),
    ],
)
def test_mistakes_are_named(section: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "radar.yaml"
    file.write_text(f"event_names:\n{section}\n")
    with pytest.raises(ConfigError, match=message):
        load_config(file)
