"""A reverse proxy that logs people in, as a process of its own. It adds headers, and removes or keeps those of the client."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

ADDRESS = "127.0.0.2"
"""Where its requests come from. Clients on loopback have another address."""


@contextmanager
def header_proxy(upstream: int, headers: Mapping[str, str], *, replaces: bool = True) -> Iterator[int]:
    """Run a proxy. Yields its port.

    Args:
        upstream: port of the server behind it.
        headers: that it adds.
        replaces: whether it removes those that the client sends, as it should.
    """
    arguments = [str(upstream), json.dumps(dict(headers)), str(int(replaces))]
    command = [sys.executable, "-m", "radar_assets_tests.api.header_proxy", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield int(process.stdout.readline())
        finally:
            process.terminate()


async def _serve(upstream: int, added: dict[str, str], replaces: bool) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
        client = writer.get_extra_info("peername")[0]
        is_upgrade = any(line.lower().startswith("upgrade:") for line in lines)
        removed = {name.lower() for name in added} if replaces else set()
        kept = [line for line in lines if line.partition(":")[0].lower() not in (removed | {"x-forwarded-for"})]
        hops = [line.partition(":")[2].strip() for line in lines if line.lower().startswith("x-forwarded-for:")]
        if not is_upgrade:
            kept = [line for line in kept if not line.lower().startswith("connection:")] + ["Connection: close"]
        kept += [f"{name}: {value}" for name, value in added.items()]
        kept.append(f"X-Forwarded-For: {', '.join([*hops, client])}")
        there_reader, there = await asyncio.open_connection("127.0.0.1", upstream, local_addr=(ADDRESS, 0))
        there.write("\r\n".join([first, *kept, "", ""]).encode("latin-1"))
        await asyncio.wait(
            [asyncio.create_task(_pipe(reader, there)), asyncio.create_task(_pipe(there_reader, writer))],
            return_when=asyncio.FIRST_COMPLETED,
        )
        for each in (there, writer):
            each.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3] == "1"))
