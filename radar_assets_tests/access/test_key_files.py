"""Keys that Radar makes for itself."""

import stat
import threading
from pathlib import Path

from radar_assets.access.key_files import read_key
from radar_assets.permissions import OWN


def test_a_key_is_created_once_and_private(tmp_path: Path) -> None:
    start, keys = threading.Barrier(8), set[str]()

    def read() -> None:
        start.wait()
        keys.add(read_key(tmp_path, "links"))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert keys == {read_key(tmp_path, "links")}
    assert len(bytes.fromhex(keys.pop())) == 32
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert any(file.match(pattern) for pattern in OWN)


def test_keys_of_different_purposes_differ(tmp_path: Path) -> None:
    assert read_key(tmp_path, "links") != read_key(tmp_path, "audit")
