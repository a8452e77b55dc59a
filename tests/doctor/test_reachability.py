import socket
import ssl
import threading
from pathlib import Path

import pytest

from sidecar.doctor import reachability as module
from sidecar.doctor.diagnosis import Diagnosis, Mark
from sidecar.doctor.reachability import Contact, Reached, reach_all, reachability
from tests.fakes.certificates import certificate, server_context, write_authority
from tests.fakes.dated import dated, free_port


def reached(target: Contact, seconds: float = 30.0) -> tuple[Reached, Diagnosis]:
    (result,) = reach_all([target], seconds)
    (told,) = reachability([result], seconds)
    return result, told


def trusting(folder: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(write_authority(folder)))


def test_what_answers_is_reached_with_one_request_that_is_about_no_resource() -> None:
    with dated() as (port, heads):
        result, told = reached(Contact("payments", "127.0.0.1", port, asks=True))

    assert told.mark is Mark.FINE
    assert told.what.startswith(f"payments 127.0.0.1:{port} (TCP with 127.0.0.1, ")
    assert result.offset is not None
    assert abs(result.offset) < 10
    assert [head.split(b"\r\n")[0] for head in heads] == [b"OPTIONS * HTTP/1.1"]


def test_what_is_not_asked_for_its_date_is_sent_nothing() -> None:
    with dated() as (port, heads):
        _, told = reached(Contact("store", "127.0.0.1", port))

    assert told.mark is Mark.FINE
    assert heads == []


def test_where_nothing_listens_the_connection_is_refused() -> None:
    _, told = reached(Contact("payments", "127.0.0.1", port := free_port()))

    assert told.word == "connect_refused"
    assert f"payments 127.0.0.1:{port}: a TCP connection: 127.0.0.1: Connection refused" in told.what


def test_a_name_that_is_none_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(module.socket, "getaddrinfo", refuse)

    _, told = reached(Contact("payments", "payments.invalid", 80))

    assert told.word == "dns_failed"
    assert "getent hosts payments.invalid" in told.cure


def test_a_look_up_that_hangs_ends_the_wait_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    hung = threading.Event()

    def hang(*_: object, **__: object) -> list[object]:
        hung.wait(60)
        return []

    monkeypatch.setattr(module.socket, "getaddrinfo", hang)

    _, told = reached(Contact("payments", "payments.invalid", 80), seconds=0.1)

    hung.set()
    assert told.word == "dns_failed"
    assert "no answer within 0.1 s" in told.what


def test_a_handshake_says_when_the_certificate_ends(tmp_path: Path) -> None:
    with dated(tls=server_context(certificate("localhost", ends=2100))) as (port, _):
        result, told = reached(Contact("payments", "localhost", port, trusting(tmp_path), asks=True))

    assert told.mark is Mark.FINE
    assert "TLS with 127.0.0.1" in told.what
    assert result.expires == ssl.cert_time_to_seconds("Jan  1 00:00:00 2100 GMT")
    assert result.offset is not None


@pytest.mark.parametrize(
    ("leaf", "word"),
    [
        (certificate("localhost", begins=2000, ends=2010), "tls_expired"),
        (certificate("localhost", by="theirs"), "tls_unknown_ca"),
        (certificate("elsewhere"), "tls_hostname"),
    ],
    ids=["expired", "unknown_ca", "hostname"],
)
def test_a_handshake_that_fails_has_the_word_of_the_data_plane(tmp_path: Path, leaf: object, word: str) -> None:
    with dated(tls=server_context(leaf)) as (port, heads):  # type: ignore[arg-type]
        _, told = reached(Contact("payments", "localhost", port, trusting(tmp_path), asks=True))

    assert told.word == "tls_failed"
    assert word in told.what
    assert heads == []


def test_a_store_that_is_not_reached_is_told_as_the_store() -> None:
    _, told = reached(Contact("ingress.idempotency.store", "127.0.0.1", free_port(), store=True))

    assert told.word == "store_unreachable"


def test_targets_are_tried_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(3)
    monkeypatch.setattr(module.socket, "getaddrinfo", lambda *_, **__: [together.wait(30)][:0])

    results = reach_all([Contact(name, "x", 1) for name in "abc"], 30.0)

    assert all(each.done.is_set() for each in results)
    assert not together.broken
