"""A proxy with the fault that a soak has to find: it reads a whole message before it passes it on, and keeps it."""

import asyncio
import sys

KEPT: list[bytes] = []


async def main(port: int, origin: int) -> None:
    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 20):
            KEPT.append(data)
            writer.write(data)  # and no drain

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_origin, to_origin = await asyncio.open_connection("127.0.0.1", origin)
        await asyncio.gather(pump(reader, to_origin), pump(from_origin, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
