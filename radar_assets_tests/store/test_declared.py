"""What `radar apply` stores of a section: exactly the items of the file, in its order."""

from pydantic import BaseModel, Field

from radar_assets.store.database import open_store
from radar_assets.store.declared import Change, StoredAs, changes, replace, stored_specs
from radar_assets.store.models import Channel

STORED_AS = StoredAs("item", Channel)


class Item(BaseModel):
    name: str
    least: int = Field(default=0, serialization_alias="from")


def test_stored_items_become_those_of_the_file(database_url: str) -> None:
    store = open_store(database_url)
    first = [Item(name="c"), Item(name="a", least=1), Item(name="b")]
    with store.session() as session:
        assert changes(session, STORED_AS, first) == [Change("item", name, "added") for name in "cab"]
        assert stored_specs(session, Channel) == []
        replace(session, STORED_AS, first)
    with store.session(read_only=True) as session:
        assert stored_specs(session, Channel) == [
            {"name": "c", "from": 0},
            {"name": "a", "from": 1},
            {"name": "b", "from": 0},
        ]
        assert changes(session, STORED_AS, first) == []
    second = [Item(name="a", least=2), Item(name="c"), Item(name="d")]
    with store.session() as session:
        assert changes(session, STORED_AS, second) == [
            Change("item", "d", "added"),
            Change("item", "a", "changed", ("from 1 -> 2",)),
            Change("item", "b", "removed"),
        ]
        secret = StoredAs("item", Channel, has_secrets=True)
        assert changes(session, secret, second)[1] == Change("item", "a", "changed", ("from",))
        replace(session, STORED_AS, second)
        assert [spec["name"] for spec in stored_specs(session, Channel)] == ["a", "c", "d"]
        replace(session, STORED_AS, [])
        assert stored_specs(session, Channel) == []
    store.close()
