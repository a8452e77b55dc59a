"""A late attempt whose retry has been granted, as it is kept."""

from sidecar.engine.outcome import AttemptKind
from sidecar.proxy.codecs import HTTP1
from sidecar.proxy.elder import ElderAttempt
from tests.fakes.playbook import Stage


def test_an_elder_keeps_what_its_attempt_was_when_another_one_is_the_current() -> None:
    on = Stage(HTTP1)
    on.ask()

    elder = ElderAttempt(on.http1, on.pool.addresses[0], AttemptKind.RETRY, 0.2, number=2, began=1000.5)

    assert (elder.stream, elder.address) == (on.http1, on.pool.addresses[0])
    assert (elder.kind, elder.backoff, elder.number, elder.began) == (AttemptKind.RETRY, 0.2, 2, 1000.5)
