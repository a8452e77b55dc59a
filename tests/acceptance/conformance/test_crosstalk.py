"""500 callers at once, connections that break off at any byte on both sides, and not one byte of anybody else's."""

import asyncio
import random
import re
import socket
import struct

import pytest

from tests.acceptance.conformance.rig import Rig

CALLERS = 500
REQUESTS = 4
RESET = struct.pack("ii", 1, 0)

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def mark_of(target: bytes) -> bytes:
    """A body that says, everywhere in it, whose it is."""
    return (b"[" + target + b"]") * (1 + int(target.rpartition(b"-")[2], 16) % 997)


def marks_in(data: bytes) -> set[bytes]:
    """All callers whose words are anywhere in it."""
    return set(re.findall(rb"[\[ ](/[0-9a-f-]+)[\] ]", data))


def in_chunks(body: bytes, dice: random.Random) -> bytes:
    size = dice.randrange(1, 2000)
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def break_off(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    if reset:
        sock: socket.socket = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.close()


class Server:
    """Answers what is asked in one of several framings; breaks off, spills over and resets at random, at any byte."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self.faults: dict[str, int] = {}
        self.mixed: list[bytes] = []
        """Requests in which there was a word of another."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                target = head.split(b" ", 2)[1]
                if self._draws("reset amid a request", 0.03):
                    await reader.read(self._dice.randrange(1, 5000))
                    break_off(writer, reset=True)
                    return
                body = await self._body(head, reader)
                if marks_in(head + body) != {target} or body not in (b"", mark_of(target)):
                    self.mixed.append(head + body)
                if not await self._answer(target, writer):
                    return
                if self._draws("reset while idle", 0.05):
                    await asyncio.sleep(self._dice.random() * 0.005)
                    break_off(writer, reset=True)
                    return
                if self._draws("bytes while idle", 0.03):
                    await asyncio.sleep(self._dice.random() * 0.005)
                    writer.write(mark_of(target))  # without a head: with one, nobody could tell whose answer it is
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    def _draws(self, fault: str, chance: float) -> bool:
        drawn = self._dice.random() < chance
        self.faults[fault] = self.faults.get(fault, 0) + drawn
        return drawn

    async def _body(self, head: bytes, reader: asyncio.StreamReader) -> bytes:
        if b"Content-Length: " in head:
            return await reader.readexactly(int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0]))
        body = b""
        if b"chunked" in head:
            while size := int(await reader.readline(), 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readline()
        return body

    async def _answer(self, target: bytes, writer: asyncio.StreamWriter) -> bool:
        """Whether another request may follow."""
        dice = self._dice
        body = mark_of(target)
        if dice.random() < 0.5:
            answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        else:
            answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + in_chunks(body, dice)
        for fault, chance, reset in (("end amid an answer", 0.05, False), ("reset amid an answer", 0.08, True)):
            if self._draws(fault, chance):
                writer.write(answer[: dice.randrange(len(answer))])
                await writer.drain()
                break_off(writer, reset=reset)
                return False
        if self._draws("one answer too many", 0.08):
            writer.write(answer + answer)
            await writer.drain()
            return True
        if dice.random() < 0.15:
            half = dice.randrange(len(answer))
            writer.write(answer[:half])
            await asyncio.sleep(dice.random() * 0.01)
            answer = answer[half:]
        writer.write(answer)
        await writer.drain()
        return True


class Answer:
    """What one caller has received for one request, complete or not."""

    def __init__(self) -> None:
        self.raw = b""

    async def read(self, reader: asyncio.StreamReader, most: int) -> None:
        """Until it is whole, or `most` bytes of it have come. IncompleteReadError when the connection ends before."""
        while len(self.raw) < most and not self.whole:
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

    @property
    def whole(self) -> bool:
        head, end, body = self.raw.partition(b"\r\n\r\n")
        if not end:
            return False
        if b"chunked" in head:
            return body.endswith(b"\r\n0\r\n\r\n") or body == b"0\r\n\r\n"
        return len(body) >= int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])


def question(target: bytes, host: bytes, dice: random.Random) -> bytes:
    """A GET, or a write whose body says whose it is as an answer does; framed in one of two ways."""
    draw = dice.random()
    line = b"%b %b HTTP/1.1\r\nHost: %b\r\n"
    if draw < 0.5:
        return line % (b"GET", target, host) + b"\r\n"
    body = mark_of(target)
    head = line % (b"PUT" if draw < 0.75 else b"POST", target, host)
    if dice.random() < 0.5:
        return head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + in_chunks(body, dice)


class Callers:
    """All of them, each with words of its own; broken connections are made anew, a wrong byte is an error."""

    def __init__(self, port: int, host: bytes) -> None:
        self._port = port
        self._host = host
        self._all_here = asyncio.Barrier(CALLERS)
        self.statuses: list[int] = []

    async def call(self, number: int, dice: random.Random) -> None:
        connection = await self._connect()
        try:
            await self._all_here.wait()  # all 500 connections are open before the first request
            for turn in range(REQUESTS):
                target = b"/%d-%d-%x" % (number, turn, dice.getrandbits(64))
                if not await self._ask(target, connection, dice):
                    connection[1].transport.abort()
                    connection = await self._connect()
        finally:
            connection[1].transport.abort()

    async def _connect(self) -> Connection:
        return await asyncio.open_connection("127.0.0.1", self._port)

    async def _ask(self, target: bytes, connection: Connection, dice: random.Random) -> bool:
        """Whether the connection may be asked again."""
        reader, writer = connection
        answer = Answer()
        raw = question(target, self._host, dice)
        leaves = dice.random()
        most = dice.randrange(5000) if leaves < 0.04 else 1 << 30
        try:
            if leaves > 0.96:
                writer.write(raw[: dice.randrange(len(raw))])
                return False  # this caller has had enough before he has asked
            writer.write(raw)
            await asyncio.wait_for(answer.read(reader, most), 20)
        except (asyncio.IncompleteReadError, ConnectionError):
            assert marks_in(answer.raw) <= {target}
            return False
        if not answer.whole:
            assert marks_in(answer.raw) <= {target}
            return False
        self.statuses.append(answer.status)
        if answer.status == 200:
            assert answer.body == mark_of(target)
        else:
            assert b"problem" in answer.raw
            assert marks_in(answer.raw) == set()
        return b"Connection: close" not in answer.raw


@pytest.mark.parametrize("destination", ["own", "shop"], ids=["one attempt", "three attempts"])
def test_no_byte_of_another_caller_is_ever_seen(wire: Rig, destination: str) -> None:
    dice = random.Random(1 if destination == "own" else 2)
    server = Server(random.Random(dice.getrandbits(64)))

    async def storm() -> list[int]:
        callers = Callers(getattr(wire, destination), b"payments" if destination == "own" else b"shop")
        listener = await asyncio.start_server(server.serve, sock=wire.lend(), backlog=1024)
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(CALLERS):
                    group.create_task(callers.call(number, random.Random(dice.getrandbits(64))))
        finally:
            listener.close()
            serving = asyncio.all_tasks() - {asyncio.current_task()}
            for task in serving:
                task.cancel()
            await asyncio.gather(*serving, return_exceptions=True)
        return callers.statuses

    statuses = asyncio.run(storm())

    assert server.mixed == []
    assert min(server.faults.values()) > 20, server.faults
    assert statuses.count(200) > CALLERS * REQUESTS / 2
