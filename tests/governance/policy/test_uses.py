from datetime import UTC, datetime

from msgspec.structs import replace

from sidecar.governance.policy.uses import ExceptionUses
from tests.fakes.documents import EXCEPTION, OVERRIDE, POLICY, SIDECAR, Loading

LATER = datetime(2026, 12, 5, tzinfo=UTC)


def test_requests_count_for_the_exception_their_destination_has_a_number_from(loading: Loading) -> None:
    uses = ExceptionUses()
    snapshot = loading(sidecar=SIDECAR + OVERRIDE, policy=POLICY + EXCEPTION)

    first = uses.settle(snapshot, {"payments": 3, "unlisted": 5})
    second = uses.settle(snapshot, {"payments": 10, "unlisted": 9})

    assert (first, second) == ({"EX-1": 3}, {"EX-1": 10})


def test_an_exception_that_nobody_asks_to_use_has_no_uses(loading: Loading) -> None:
    snapshot = loading(policy=POLICY + EXCEPTION)

    assert ExceptionUses().settle(snapshot, {"payments": 3}) == {"EX-1": 0}


def test_nothing_counts_after_it_is_over_and_what_was_counted_stays(loading: Loading) -> None:
    uses = ExceptionUses()
    snapshot = loading(sidecar=SIDECAR + OVERRIDE, policy=POLICY + EXCEPTION)
    uses.settle(snapshot, {"payments": 3})

    assert uses.settle(snapshot.at(LATER), {"payments": 50}) == {"EX-1": 3}
    assert uses.settle(replace(snapshot, exceptions=()), {"payments": 50}) == {}


def test_a_destination_that_begins_anew_is_counted_anew(loading: Loading) -> None:
    uses = ExceptionUses()
    snapshot = loading(sidecar=SIDECAR + OVERRIDE, policy=POLICY + EXCEPTION)
    uses.settle(snapshot, {"payments": 3})
    uses.settle(snapshot, {})

    assert uses.settle(snapshot, {"payments": 2}) == {"EX-1": 5}
