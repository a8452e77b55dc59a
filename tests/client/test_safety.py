import math

import pytest

from sidecar.client.safety import Safety
from sidecar.engine.policy import DestinationPolicy

HONOURING = DestinationPolicy(honours_keys=True, key_retention=60.0)
PLAIN = DestinationPolicy()


def test_nothing_is_safe_to_repeat_unless_it_is_declared() -> None:
    assert Safety.of(idempotent=False, idempotency_key=False).repeatable_until(HONOURING, 5.0) == -math.inf


def test_an_idempotent_call_is_safe_for_ever() -> None:
    assert Safety.of(idempotent=True, idempotency_key=False).repeatable_until(PLAIN, 5.0) == math.inf


def test_a_key_is_good_for_the_retention_of_a_destination_that_honours_keys() -> None:
    keyed = Safety.of(idempotent=False, idempotency_key="k")

    assert keyed.repeatable_until(HONOURING, 5.0) == 65.0
    assert keyed.repeatable_until(PLAIN, 5.0) == -math.inf


def test_a_random_key_is_another_one_each_time() -> None:
    keys = {Safety.of(idempotent=False, idempotency_key=True).idempotency_key for _ in range(100)}

    assert len(keys) == 100


@pytest.mark.parametrize("key", ["", "x" * 256, "a\r\nb", "ключ"])
def test_a_key_that_no_header_can_carry_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="1 to 255 printable ASCII"):
        Safety.of(idempotent=False, idempotency_key=key)
