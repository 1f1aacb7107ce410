"""Suppressed addresses get no mail; everything else is sent as before."""

from functools import partial

import pytest
from pydantic import SecretStr

from radar_assets.alerts.notices import KIND
from radar_assets.alerts.rendering import render
from radar_assets.messaging import outbox
from radar_assets.messaging.channel import Smtp, Transport
from radar_assets.messaging.channels import parse_channel
from radar_assets.messaging.deliverer import PassResult, deliver, rendering
from radar_assets.messaging.suppression import EVERYTHING, allow, suppress, suppressed, suppressions
from radar_assets.store.database import Store
from radar_assets.store.models import FieldError
from radar_assets.windows import utc_now
from radar_assets_tests.alerts.records import deliveries
from radar_assets_tests.messaging.channels.test_email import Inbox, mail_server
from radar_assets_tests.messaging.endpoint import endpoint
from radar_assets_tests.messaging.sending import HOSTS, put, webhook

ANN, BOB = "ann@shop.example", "bob@shop.example"


def send_due(store: Store, inbox: Inbox, hook: str) -> PassResult:
    """Run a pass over a mail channel to both addresses and a webhook."""
    team = parse_channel({"type": "email", "name": "team", "to": [ANN, BOB]})
    with mail_server(inbox, None) as port:
        smtp = Smtp(SecretStr(f"smtp://127.0.0.1:{port}?starttls=no"), "alerts@shop.example")
        transport = Transport(HOSTS, smtp, suppressed=partial(suppressed, store))
        channels = {"team": team, "hook": parse_channel(webhook(hook), HOSTS)}
        return deliver(store, channels, rendering({KIND: render}, transport))


def test_suppressed_addresses_are_left_out_of_a_mail(store: Store) -> None:
    inbox = Inbox()
    suppress(store, ANN, "bounced", utc_now())
    with endpoint() as hook:
        put(store, "team", "1", now=utc_now())
        put(store, "hook", "1", now=utc_now())
        assert send_due(store, inbox, hook.url).count("sent") == 2
        [(envelope, mail)] = inbox.mails
        assert (envelope.rcpt_tos, mail["To"]) == ([BOB], BOB)
        suppress(store, BOB, "unsubscribed", utc_now(), group="alerts")
        (id,) = put(store, "team", "2", now=utc_now())
        put(store, "hook", "2", now=utc_now())
        done = send_due(store, inbox, hook.url)
        assert [(done.count("sent"), done.count("suppressed")), len(inbox.mails)] == [(1, 1), 1]
        assert {row.id: row.state for row in deliveries(store)}[id] == "suppressed"
        allow(store, BOB, group="alerts")
        outbox.retry(store, id, utc_now())
        assert send_due(store, inbox, hook.url).count("sent") == 1
    assert [envelope.rcpt_tos for envelope, _ in inbox.mails] == [[BOB], [BOB]]


def test_an_address_is_suppressed_for_a_group_or_for_everything_in_any_case(store: Store) -> None:
    suppress(store, "Ann@Shop.example", "complained", utc_now())
    suppress(store, BOB, "unsubscribed", utc_now(), group="reports")
    suppress(store, BOB, "unsubscribed", utc_now(), group="reports")
    assert suppressed(store, [ANN, BOB, "eve@shop.example"], "alerts") == {ANN}
    assert suppressed(store, [ANN, BOB.upper()], "reports") == {ANN, BOB.upper()}
    assert [(row.address, row.group) for row in suppressions(store)] == [(ANN, EVERYTHING), (BOB, "reports")]
    assert not allow(store, BOB)
    assert allow(store, ANN.upper())
    assert suppressed(store, [ANN, BOB], "alerts") == set()


@pytest.mark.parametrize(("address", "group"), [("ann", ""), ("", ""), ("a@b.example\n", ""), (ANN, "x" * 65)])
def test_invalid_addresses_and_groups_are_refused(store: Store, address: str, group: str) -> None:
    with pytest.raises(FieldError):
        suppress(store, address, "bounced", utc_now(), group)
