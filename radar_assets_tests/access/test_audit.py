"""The audit log: its chain under concurrent writers, every kind of tampering, and expiry."""

import json
import multiprocessing
from datetime import timedelta

import pytest
import sqlalchemy as sa

from radar_assets.access import audit
from radar_assets.access.roles import Principal, Role
from radar_assets.store.database import Store, open_store
from radar_assets.windows import utc_now

ANNA = Principal("user", "0a1b2c3d", "anna", Role.ADMIN)
KEY = b"k" * 32
WRITERS, ENTRIES = 4, 15


def write(url: str, writer: int) -> None:
    store = open_store(url)
    for number in range(ENTRIES):
        audit.record(store, ANNA, "test.write", f"{writer}-{number}")
    store.close()


def filled(store: Store, count: int = 5) -> None:
    for number in range(1, count + 1):
        audit.record(store, ANNA, "test.write", f"object {number}", details={"number": number})


def test_the_chain_holds_under_several_writing_processes(store: Store, database_url: str) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=write, args=(database_url, writer)) for writer in range(WRITERS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * WRITERS
    entries = audit.list_entries(store, limit=1000)
    assert [entry.number for entry in entries] == list(range(WRITERS * ENTRIES, 0, -1))
    assert len({entry.object for entry in entries}) == WRITERS * ENTRIES
    assert audit.verify(store) is None


def test_an_entry_is_rolled_back_with_its_action(store: Store) -> None:
    filled(store, 1)
    with pytest.raises(RuntimeError), store.session() as session:
        audit.record(session, ANNA, "test.write", "undone")
        raise RuntimeError
    filled(store, 1)
    assert [entry.number for entry in audit.list_entries(store)] == [2, 1]
    assert audit.verify(store) is None


TAMPERING = {
    "changed": ("update audit_entries set object = 'x' where number = 3", "entry 3 was changed"),
    "other time": ("update audit_entries set at = '2026-01-01 00:00:00' where number = 3", "entry 3 was changed"),
    "first missing": ("delete from audit_entries where number = 1", "entry 1 is missing"),
    "missing": ("delete from audit_entries where number = 3", "entry 3 is missing"),
    "end missing": ("delete from audit_entries where number > 3", "entry 4 is missing at the end"),
    "all missing": ("delete from audit_entries", "entry 1 is missing at the end"),
    "head missing": ("delete from audit_head", "the head of the log is missing"),
    "head set back": ("update audit_head set number = 4", "entry 5 was inserted at the end"),
    "reordered": (
        "update audit_entries set number = 99 where number = 2;"
        "update audit_entries set number = 2 where number = 3;"
        "update audit_entries set number = 3 where number = 99",
        "entry 2 was changed",
    ),
    "inserted": (
        "insert into audit_entries select 0, at, principal_kind, principal_id, principal_name, action, object, project_id,"
        " address, result, details, previous, hash from audit_entries where number = 1",
        "entry 0 should have expired, or was inserted",
    ),
}


@pytest.mark.parametrize("kind", TAMPERING)
def test_tampering_is_found(store: Store, kind: str) -> None:
    filled(store)
    assert audit.verify(store) is None
    statements, fault = TAMPERING[kind]
    with store.session() as session:
        for statement in statements.split(";"):
            session.execute(sa.text(statement))
    assert audit.verify(store) == fault


def test_values_named_like_secrets_are_masked_and_odd_texts_are_kept(store: Store) -> None:
    details = {
        "password": "s3cret",
        "nested": [{"apiKey": "s3cret"}],
        "write_key": "s3cret",
        "name": "nul \0, half \ud800",
    }
    audit.record(
        store, ANNA, "test\0", "half \ud800", details=details, address="::1", project_id="shop", result="denied"
    )
    (entry,) = audit.list_entries(store, project_id="shop")
    assert "s3cret" not in entry.details
    assert json.loads(entry.details)["name"] == "nul \0, half \ud800"
    assert (entry.action, entry.object) == ("test\\0", "half \\ud800")
    assert audit.verify(store) is None


def test_expired_entries_leave_a_signed_checkpoint(store: Store) -> None:
    filled(store, 3)
    border = utc_now()
    filled(store, 2)
    assert audit.expire(store, border, KEY) == 3
    assert [entry.number for entry in audit.list_entries(store)] == [5, 4]
    assert audit.verify(store, KEY) is None
    assert audit.verify(store, b"other" * 8) == "the checkpoint of entry 3 has an invalid signature"
    assert audit.expire(store, utc_now() + timedelta(days=1), KEY) == 2
    assert audit.verify(store, KEY) is None
    filled(store, 1)
    assert [entry.number for entry in audit.list_entries(store)] == [6]
    assert audit.verify(store, KEY) is None
    with store.session() as session:
        session.execute(sa.text("delete from audit_checkpoints where number = 3"))
    assert audit.verify(store, KEY) == "the checkpoint before that of entry 5 is missing"


def test_a_log_with_a_fault_does_not_expire(store: Store) -> None:
    filled(store)
    with store.session() as session:
        session.execute(sa.text("delete from audit_entries where number = 2"))
    with pytest.raises(audit.AuditError, match="entry 2 is missing"):
        audit.expire(store, utc_now() + timedelta(days=1), KEY)
    assert len(audit.list_entries(store)) == 4
