"""What must hold of every sequence of bytes that a reader is given. Shared by hypothesis and the fuzzer.

1. Nothing but Malformed is raised, with a status and a reason of the closed sets.
2. It does not matter how the bytes are cut.
3. What is passed on is read again as the same one message, by us and by h11, and nothing is left over: there is nothing
   in it that the next hop could take for another message.
4. h11 reads the same message from the bytes that came, or refuses it by one of its own rules: never another message.
5. What we refuse and h11 takes is refused by a rule of the table STRICTER.
6. Shapes of heads that were met before change nothing of what is read, of these bytes or of others much like them.
"""

import itertools
import random
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import h11

from sidecar.wire.chunked import ChunkedReader, chunk, last_chunk
from sidecar.wire.framing import CHUNKED, CLOSE, LENGTH, NONE
from sidecar.wire.head import RequestHead, ResponseHead
from sidecar.wire.hopbyhop import FORBIDDEN_TRAILERS
from sidecar.wire.malformed import REASONS, Malformed
from sidecar.wire.reader import RequestReader, ResponseReader
from sidecar.wire.shapes import RequestShape, ResponseShape, Shapes
from sidecar.wire.writer import CHUNKED_LINE, replace_host, request_head, response_head

HEAD_BYTES = 2048
FIELDS = 30
TARGET_BYTES = 256
NEIGHBOURS = [b"", b" ", b"\t", b"\r", b"\n", b"\r\n", b"\0", b"\x7f", b"\x80", b":", b"#", b"/", b"0", b"9", b"x"]
STATUSES = {400, 408, 413, 414, 431, 501, 502, 505}


METHODS = frozenset(
    b"GET POST PUT PATCH DELETE HEAD OPTIONS TRACE CONNECT QUERY PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK SEARCH"
    b" REPORT ACL BIND REBIND UNBIND PURGE LINK UNLINK M-SEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE MKCALENDAR MERGE CHECKOUT"
    b" MKACTIVITY".split()
)
ABSOLUTE = rb"[A-Za-z]+://[A-Za-z0-9._~-]+(?::[0-9]*)?(?:[/?][\x21\x22\x24-\x7e]*)?"
LF, FOLD, CONTROL = "a line ended by a bare LF", "a folded line", "a control byte"
ANY_HEAD = {
    LF: rb"(?<!\r)\n",
    FOLD: rb"\n[ \t]",
    CONTROL: rb"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]",
}
ANY_LENGTH = {
    "two lengths": rb"(?is)\ncontent-length:.*\ncontent-length:",
    "a list of lengths": rb"(?i)\ncontent-length:[^\n]*,",
    "a length past 63 bits": rb"(?i)\ncontent-length:[ \t]*0*[0-9]{19,}",
}
ANY_CODING = {
    "a coding behind a length": rb"(?is)\ncontent-length:.*\ntransfer-encoding:",
    "a length behind a coding": rb"(?is)\ntransfer-encoding:.*\ncontent-length:",
    "a coding in HTTP/1.0": rb"(?is)\A(?:HTTP/1\.0 [^\n]*|[^\n]* HTTP/1\.0\r?)\n(?:.*\n)?transfer-encoding:",
}
STRICTER: dict[str, dict[str, bytes]] = {
    "unsupported_version": {"neither 1.0 nor 1.1": rb"\A[^\n]* HTTP/(?!1\.[01])[0-9]\.[0-9]", "PRI": rb"\APRI "},
    "unknown_method": {"a method that is none of HTTP": rb"\A(?!(?:%b) )[^ ]+ " % b"|".join(METHODS)},
    "bad_request_line": {"lower case in a method": rb"\A[^ ]*[a-z][^ ]* ", LF: ANY_HEAD[LF]},
    "bad_target": {
        "a fragment": rb"\A[^ ]+ [^ ]*#",
        "no form of a target": rb"\A(?!CONNECT )[^ ]+ (?!/|\*|%b )" % ABSOLUTE,
        "a byte that no authority has": rb"\ACONNECT [^ ]*[\"<>\\\\^`{|}]",
    },
    "target_too_long": {"a long target": rb"\A[^ ]+ [^ ]{%d}" % TARGET_BYTES},
    "head_too_large": {"a large head": rb"(?s)\A.{%d}" % HEAD_BYTES},
    "too_many_fields": {"too many fields": rb"(?s)\A(?:[^\n]*\n){%d}" % (FIELDS + 1)},
    "bad_field": ANY_HEAD,
    "content_length": ANY_LENGTH,
    "transfer_encoding": ANY_CODING,
    "bad_status_line": {
        "neither 1.0 nor 1.1": rb"\AHTTP/(?!1\.[01] )",
        "a status past 599": rb"\AHTTP/1\.[01] [6-9]",
        LF: ANY_HEAD[LF],
        CONTROL: ANY_HEAD[CONTROL],
    },
    "bad_chunk": {
        "a control byte in an extension": rb";[^\n]*[\x00-\x08\x0b-\x1f\x7f][^\n]",
        "a size of more than sixty bits": rb"(?:\A|\n)[0-9A-Fa-f]{16,20}[\r;\t ]",
        "blanks between a size and its end": rb"[0-9A-Fa-f][ \t]+\r\n",
        "a long line of a size": rb";[^\n]{4000}",
        **ANY_HEAD,
    },
}
"""Where h11 takes what we refuse: by our reason, the rules that may be why. Looked for in the head, or behind it."""


@dataclass
class Seen:
    """One message as far as it was read."""

    head: RequestHead | ResponseHead
    body: bytes = b""
    trailers: bytes = b""
    complete: bool = False

    def known(self) -> tuple[object, ...]:
        slots = [getattr(self.head, slot, None) for slot in type(self.head).__slots__]
        return (*slots, self.body, self.trailers, self.complete)


@dataclass
class Reading:
    """All that came of some bytes: messages, and why there are no more."""

    messages: list[Seen] = field(default_factory=list)
    refusal: Malformed | None = None
    rest: bytes = b""
    """What followed the last message of the connection."""

    def known(self) -> object:
        if self.refusal is None:
            return [seen.known() for seen in self.messages], self.rest
        # How much of a body was read before it turned out to be nonsense is a matter of how the bytes were cut.
        whole = [seen.known() for seen in self.messages if seen.complete]
        return whole, (self.refusal.status, self.refusal.reason)

    def agrees(self, other: "Reading") -> bool:
        """Whether both say the same of the same bytes, cut differently.

        Which of two faults is met first is a matter of how the bytes were cut, where one of them is the size of the
        head; and whether a method is unknown or none at all, of how much of it is there to be judged.
        """
        one, two = self.refusal, other.refusal
        if one is None or two is None or not (by_size(one) or by_size(two) or {one.reason, two.reason} == OF_A_METHOD):
            return self.known() == other.known()
        return [seen.known() for seen in self.messages if seen.complete] == [
            seen.known() for seen in other.messages if seen.complete
        ]


OF_A_METHOD = {"bad_request_line", "unknown_method"}


def by_size(refusal: Malformed) -> bool:
    return refusal.status in {414, 431} or refusal.reason in {"head_too_large", "too_many_fields"}


class Met:
    """Shapes of all heads that were read with it: no time that would have to pass passes as slowly."""

    def __init__(self) -> None:
        self.requests: Shapes[RequestShape, RequestHead] = Shapes(RequestShape, itertools.count().__next__)
        self.responses: Shapes[ResponseShape, ResponseHead] = Shapes(ResponseShape, itertools.count().__next__)


def read(pieces: Iterable[bytes], *, responses: bool, to_head: bool = False, met: Met | None = None) -> Reading:
    """Read as the two ends of the proxy do."""
    reader: RequestReader | ResponseReader
    if responses:
        reader = ResponseReader(HEAD_BYTES, FIELDS, None if met is None else met.responses)
    else:
        reader = RequestReader(HEAD_BYTES, FIELDS, TARGET_BYTES, None if met is None else met.requests)
    reading = Reading()
    seen: Seen | None = None
    chunks: ChunkedReader | None = None
    over = False
    try:
        for piece in pieces:
            data = piece
            while data and not over:
                if seen is None:
                    head = (
                        reader.feed(data, to_head=to_head) if isinstance(reader, ResponseReader) else reader.feed(data)
                    )
                    if head is None:
                        break
                    seen = Seen(head)
                    reading.messages.append(seen)
                    data = reader.rest
                    chunks = ChunkedReader(HEAD_BYTES) if head.framing is CHUNKED else None
                elif head.framing is LENGTH:
                    taken = data[: (head.length or 0) - len(seen.body)]
                    seen.body += taken
                    data = data[len(taken) :]
                elif chunks is not None:
                    seen.body += chunks.feed(data)
                    data = chunks.rest if chunks.done else b""
                    seen.trailers = chunks.trailers
                else:
                    seen.body += data
                    data = b""
                if ended(seen, chunks):
                    seen.complete = True
                    over = last_of_its_connection(seen.head)
                    seen = None
            if over:
                reading.rest += data
    except Malformed as error:
        reading.refusal = error
    if (refusal := reading.refusal) is not None:
        assert refusal.status in STATUSES
        assert refusal.reason in REASONS
        assert not responses or refusal.status == 502 or chunks is not None
    return reading


def ended(seen: Seen, chunks: ChunkedReader | None) -> bool:
    head = seen.head
    if head.framing is NONE:
        return True
    if head.framing is LENGTH:
        return len(seen.body) == head.length
    return chunks is not None and chunks.done


def last_of_its_connection(head: RequestHead | ResponseHead) -> bool:
    if isinstance(head, RequestHead):
        return not head.keep_alive or bool(head.upgrade) or head.method == b"CONNECT"
    return head.status == 101 or (not head.keep_alive and head.status >= 200)


def cuts_of(data: bytes, seed: int) -> list[bytes]:
    """The bytes in pieces: one by one for seed 0, else at a few places that the seed draws."""
    if seed == 0:
        return [data[at : at + 1] for at in range(len(data))]
    dice = random.Random(seed)
    places = sorted(dice.randrange(len(data) + 1) for _ in range(dice.randrange(1, 6)))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


def check(data: bytes) -> None:
    """All laws, of what a fuzzer gives: a byte that says what is read, a byte of how it is cut, the bytes."""
    if len(data) < 3:
        return
    kind = b"QRH".find(data[:1])
    check_bytes(data[2:], kind=kind if kind >= 0 else data[0] % 3, seed=data[1] % 16)


def check_bytes(data: bytes, *, kind: int, seed: int) -> None:
    """All laws: of requests (kind 0), of responses (1), and of responses to HEAD (2)."""
    responses, to_head = kind > 0, kind == 2
    whole = read([data], responses=responses, to_head=to_head)
    cut = read(cuts_of(data, seed), responses=responses, to_head=to_head)
    assert whole.agrees(cut)
    check_shapes(data, whole, responses=responses, to_head=to_head)
    for seen in whole.messages:
        if isinstance(seen.head, RequestHead):
            if seen.complete and seen.head.method != b"CONNECT":
                check_forwarded(seen, seen.head)
        elif seen.head.status >= 200 and (seen.complete or seen.head.framing is CLOSE):
            check_delivered(seen, seen.head, to_head=to_head)
    if whole.messages:
        check_first(data, whole.messages[0], to_head=to_head)
    if whole.refusal is not None and not any(seen.complete for seen in whole.messages):
        check_refused(data, whole.refusal, in_body=bool(whole.messages), responses=responses, to_head=to_head)


def check_forwarded(seen: Seen, head: RequestHead) -> None:
    """Law 3 of a request."""
    if not head.host:
        head.fields = replace_host(head.fields, head.host, b"a")
    raw = request_head(head) + b"\r\n" + framed(seen, chunked=head.framing is CHUNKED)

    again = read([raw], responses=False)
    assert again.refusal is None
    assert [one.complete for one in again.messages] == [True]
    other = again.messages[0].head
    assert isinstance(other, RequestHead)
    assert (other.method, other.target, other.minor) == (head.method, head.target, 1)
    assert (other.length, other.upgrade, lines_of(other)) == (head.length, head.upgrade, lines_of(head))
    assert (again.messages[0].body, again.messages[0].trailers) == (seen.body, seen.trailers)
    assert again.rest == b""

    oracle = h11.Connection(h11.SERVER)
    event, body, trailers = oracle_reads(oracle, raw)
    assert isinstance(event, h11.Request)
    assert (event.method, event.target, body) == (head.method, head.target, seen.body)
    assert trailers == lower_lines(seen.trailers)
    assert oracle.trailing_data[0] == b""


def check_delivered(seen: Seen, head: ResponseHead, *, to_head: bool) -> None:
    """Law 3 of a response."""
    chunked = head.framing in (CHUNKED, CLOSE)
    raw = response_head(head) + (CHUNKED_LINE if chunked else b"") + b"\r\n" + framed(seen, chunked=chunked)

    again = read([raw], responses=True, to_head=to_head)
    assert again.refusal is None
    assert [one.complete for one in again.messages] == [True]
    other = again.messages[0].head
    assert isinstance(other, ResponseHead)
    assert (other.status, other.line, lines_of(other)) == (head.status, head.line, lines_of(head))
    assert (again.messages[0].body, again.messages[0].trailers) == (seen.body, seen.trailers)
    assert again.rest == b""

    oracle = asked(to_head=to_head)
    event, body, trailers = oracle_reads(oracle, raw)
    assert isinstance(event, h11.Response)
    assert (event.status_code, body) == (head.status, seen.body)
    assert trailers == lower_lines(seen.trailers)
    assert oracle.trailing_data[0] == b""


def check_refused(data: bytes, refusal: Malformed, *, in_body: bool, responses: bool, to_head: bool) -> None:
    """Law 5."""
    oracle = asked(to_head=to_head) if responses else h11.Connection(h11.SERVER)
    if not oracle_takes(oracle, data, body=in_body):
        return
    end = re.search(rb"\n\r?\n", data)
    assert end is not None  # h11 does not take what has no end
    part = data[end.end() :] if in_body else data[: end.end()]
    rules = STRICTER["bad_chunk" if in_body and refusal.status == 400 else refusal.reason]
    assert any(re.search(rule, part) for rule in rules.values()), (refusal.reason, refusal.detail)


def oracle_takes(oracle: h11.Connection, data: bytes, *, body: bool) -> bool:
    """Whether h11 finds nothing wrong with the first head, or with the whole `body` behind it."""
    try:
        oracle.receive_data(data)
        event = oracle.next_event()
        while body and isinstance(event, h11.Request | h11.Response | h11.Data):
            event = oracle.next_event()
    except h11.RemoteProtocolError:
        return False
    heads = (h11.Request, h11.Response, h11.InformationalResponse)
    return isinstance(event, h11.EndOfMessage) if body else isinstance(event, heads)


def check_shapes(data: bytes, whole: Reading, *, responses: bool, to_head: bool) -> None:
    """Law 6."""
    met = Met()
    for _ in range(2):
        assert read([data], responses=responses, to_head=to_head, met=met).known() == whole.known()
    if not (met.requests or met.responses):
        return
    dice = random.Random(data)
    for _ in range(4):
        other = changed(data, dice)
        plain = read([other], responses=responses, to_head=to_head)
        assert read([other], responses=responses, to_head=to_head, met=met).known() == plain.known()


def changed(data: bytes, dice: random.Random) -> bytes:
    """The bytes with another one, one more, or one less, at one to three places."""
    other = bytearray(data)
    for _ in range(dice.randrange(1, 4)):
        place = dice.randrange(len(other) + 1)
        other[place : place + dice.randrange(2)] = dice.choice(NEIGHBOURS)
    return bytes(other)


def check_first(data: bytes, seen: Seen, *, to_head: bool) -> None:
    """Law 4."""
    head = seen.head
    if isinstance(head, ResponseHead) and head.status < 200:
        return
    oracle = h11.Connection(h11.SERVER) if isinstance(head, RequestHead) else asked(to_head=to_head)
    try:
        event, body, _ = oracle_reads(oracle, data, ending=isinstance(head, ResponseHead) and head.framing is CLOSE)
    except h11.RemoteProtocolError:
        assert stricter_in_h11(data, seen)
        return
    if event is None:
        assert data.lstrip(b"\r\n") != data  # h11 waits where an empty line comes first
        return
    if isinstance(head, RequestHead):
        assert isinstance(event, h11.Request)
        assert (event.method, event.target) == (head.method, head.target)
    else:
        assert isinstance(event, h11.Response)
        assert event.status_code == head.status
    assert body.startswith(seen.body) if not seen.complete else body == seen.body


def stricter_in_h11(data: bytes, seen: Seen) -> bool:
    """h11's own rules: no empty lines first, lengths of 20 digits, no framing fields in trailers (we drop them)."""
    framings = re.findall(rb"(?i)\r\n(?:content-length|transfer-encoding):", data)
    lengths = re.findall(rb"(?i)content-length:[ \t]*([0-9]+)", data)
    return (
        data[:1] in b"\r\n"
        or any(len(length) > 20 for length in lengths)
        or (seen.head.framing is CHUNKED and len(framings) > 1)
        or not seen.complete  # what is wrong with its body is found by us later, in another reader
        or (isinstance(seen.head, RequestHead) and seen.head.method == b"CONNECT")
    )


def lines_of(head: RequestHead | ResponseHead) -> list[tuple[bytes, bytes]]:
    """Names and values: blanks around a value are no part of it."""
    return pairs_of(head.fields)


def lower_lines(lines: bytes) -> list[tuple[bytes, bytes]]:
    """As h11 tells them."""
    return [(name.lower(), value) for name, value in pairs_of(lines)]


def pairs_of(lines: bytes) -> list[tuple[bytes, bytes]]:
    pairs = [line.partition(b":") for line in lines.split(b"\r\n")[:-1]]
    return [(name, value.strip(b" \t")) for name, _, value in pairs]


def framed(seen: Seen, *, chunked: bool) -> bytes:
    if not chunked:
        return seen.body
    return (chunk(seen.body) if seen.body else b"") + last_chunk(seen.trailers)


def asked(*, to_head: bool) -> h11.Connection:
    oracle = h11.Connection(h11.CLIENT)
    oracle.send(h11.Request(method="HEAD" if to_head else "GET", target="/", headers=[("Host", "a")]))
    oracle.send(h11.EndOfMessage())
    return oracle


def oracle_reads(
    oracle: h11.Connection, data: bytes, *, ending: bool = False
) -> tuple[h11.Event | None, bytes, list[tuple[bytes, bytes]]]:
    """h11's first message: its head, body and trailers, as far as they have come."""
    oracle.receive_data(data)
    if ending:
        oracle.receive_data(b"")
    head: h11.Event | None = None
    body = b""
    while True:
        event = oracle.next_event()
        if isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            trailers = [(name, value) for name, value in event.headers if name.lower() not in FORBIDDEN_TRAILERS]
            return head, body, trailers
        elif isinstance(event, h11.Request | h11.Response):
            head = event
        else:
            return head, body, []
