"""500 callers at once, answers that break off at random, and not one byte of anybody else's."""

import asyncio
import random
import re
import socket
import struct

import pytest

from tests.acceptance.conformance.rig import Rig

CALLERS = 500
REQUESTS = 6
RESET = struct.pack("ii", 1, 0)


def mark_of(target: bytes) -> bytes:
    """A body that says, everywhere in it, whose it is, and is as long as nobody else's."""
    return (b"[" + target + b"]") * (1 + hash(target) % 997)


class Server:
    """Echoes what is asked as a long body in one of several framings; breaks off, spills over and resets at random."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self.faults = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                target = head.split(b" ", 2)[1]
                if b"Content-Length: " in head:
                    body = await reader.readexactly(int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0]))
                    assert set(body.split(b"|")) == {target}
                if not await self._answer(target, writer):
                    break
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    async def _answer(self, target: bytes, writer: asyncio.StreamWriter) -> bool:
        """Whether another request may follow."""
        body = mark_of(target)
        draw = self._dice.random()
        if self._dice.random() < 0.5:
            answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        else:
            pieces = [body[at : at + 700] for at in range(0, len(body), 700)]
            answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            answer += b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        if draw < 0.15:
            self.faults += 1
            writer.write(answer[: self._dice.randrange(len(answer))])
            await writer.drain()
            if draw < 0.08:
                sock: socket.socket = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            return False
        if draw < 0.25:
            self.faults += 1
            writer.write(answer + answer)  # one answer too many
            await writer.drain()
            return True
        if draw < 0.35:
            half = self._dice.randrange(len(answer))
            writer.write(answer[:half])
            await asyncio.sleep(self._dice.random() * 0.01)
            answer = answer[half:]
        writer.write(answer)
        await writer.drain()
        return True


class Answer:
    """What one caller has received for one request, complete or not."""

    def __init__(self) -> None:
        self.raw = b""

    async def read(self, reader: asyncio.StreamReader) -> None:
        """Until it is whole. IncompleteReadError when the connection ends before."""
        while not self._whole():
            data = await reader.read(65536)
            if not data:
                raise asyncio.IncompleteReadError(self.raw, None)
            self.raw += data

    @property
    def status(self) -> int:
        return int(self.raw[9:12])

    @property
    def body(self) -> bytes:
        head, _, body = self.raw.partition(b"\r\n\r\n")
        if b"chunked" not in head:
            return body
        whole = b""
        while (size := int(body.split(b"\r\n")[0], 16)) > 0:
            body = body.partition(b"\r\n")[2]
            whole, body = whole + body[:size], body[size + 2 :]
        return whole

    def marks(self) -> set[bytes]:
        """All callers whose words are anywhere in it."""
        return set(re.findall(rb"\[(/[0-9a-f-]+)\]", self.raw))

    def _whole(self) -> bool:
        head, end, body = self.raw.partition(b"\r\n\r\n")
        if not end:
            return False
        if b"chunked" in head:
            return body.endswith(b"\r\n0\r\n\r\n") or body == b"0\r\n\r\n"
        return len(body) >= int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])


async def call(rig: Rig, number: int, dice: random.Random, statuses: list[int]) -> None:
    """One caller with its own words; broken connections are made anew, wrong bytes are an error."""
    connection = None
    for turn in range(REQUESTS):
        target = b"/%d-%d-%x" % (number, turn, dice.getrandbits(64))
        raw = b"GET %b HTTP/1.1\r\nHost: payments\r\n\r\n" % target
        if dice.random() < 0.3:
            body = b"|".join([target] * dice.randrange(1, 400))
            raw = b"POST %b HTTP/1.1\r\nHost: payments\r\nContent-Length: %d\r\n\r\n%b" % (target, len(body), body)
        if connection is None:
            connection = await asyncio.open_connection("127.0.0.1", rig.own)
        reader, writer = connection
        answer = Answer()
        try:
            writer.write(raw)
            if dice.random() < 0.05:
                raise ConnectionResetError  # this caller has had enough
            await asyncio.wait_for(answer.read(reader), 20)
        except (asyncio.IncompleteReadError, ConnectionError):
            assert answer.marks() <= {target}
            writer.transport.abort()
            connection = None
            continue
        statuses.append(answer.status)
        if answer.status == 200:
            assert answer.body == mark_of(target)
        else:
            assert b"problem" in answer.raw
            assert answer.marks() == set()
    if connection is not None:
        connection[1].close()


@pytest.mark.parametrize("seed", [1, 2])
def test_no_byte_of_another_caller_is_ever_seen(wire: Rig, seed: int) -> None:
    statuses: list[int] = []
    server = Server(random.Random(seed))

    async def storm() -> None:
        listener = await asyncio.start_server(server.serve, sock=wire.lend(), backlog=1024)
        dice = random.Random(seed)
        async with asyncio.TaskGroup() as group:
            for number in range(CALLERS):
                group.create_task(call(wire, number, random.Random(dice.getrandbits(64)), statuses))
        listener.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    asyncio.run(storm())

    assert server.faults > 100
    assert statuses.count(200) > CALLERS * REQUESTS / 2
