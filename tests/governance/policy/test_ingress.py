"""The way to the service itself."""

from sidecar.engine.outcome import Fault
from sidecar.engine.policy import LimitKind
from sidecar.governance.policy.ingress import INGRESS_BASELINE
from sidecar.governance.policy.resolve import BASELINE
from tests.fakes.documents import POLICY, SIDECAR, Loading

INGRESS = "ingress: {listen: '0.0.0.0:16006', app: 'http://127.0.0.1:8080'}\n"


def test_only_what_the_service_has_never_seen_is_repeated_and_nothing_is_refused() -> None:
    policy = INGRESS_BASELINE.policy

    assert policy.retry.statuses == frozenset()
    assert policy.retry.faults == {Fault.CONNECT_FAILURE}
    assert policy.breaker.consecutive_failures >= 10**9
    assert policy.breaker.min_requests >= 10**9
    assert policy.concurrency.limit is LimitKind.FIXED
    assert policy.concurrency.initial >= 10**6
    assert policy.timeout == policy.per_attempt_timeout == policy.idle_timeout == 300.0


def test_each_number_says_that_it_is_built_in_for_ingress() -> None:
    origin = INGRESS_BASELINE.provenance["timeout"]

    assert origin.place == "built in for ingress:1"
    assert INGRESS_BASELINE.provenance["budget.ratio"] is BASELINE.provenance["budget.ratio"]


def test_the_platform_and_then_the_team_have_their_say(loading: Loading) -> None:
    policy = POLICY + "destinations: {ingress: {timeout: 40s, idle_timeout: 41s}}\n"

    ingress = loading(sidecar=SIDECAR + INGRESS, policy=policy).ingress
    overridden = loading(sidecar=SIDECAR + INGRESS.replace("}", ", overrides: {timeout: 20s}}"), policy=policy).ingress

    assert ingress is not None
    assert overridden is not None
    assert (ingress.policy.timeout, ingress.policy.idle_timeout) == (40.0, 41.0)
    assert (overridden.policy.timeout, overridden.policy.idle_timeout) == (20.0, 41.0)
    assert overridden.provenance["timeout"].place.endswith("sidecar.yaml:6")
    assert "defaults" not in ingress.provenance["timeout"].place


def test_what_the_platform_says_of_all_destinations_is_not_meant_for_the_service_itself(loading: Loading) -> None:
    ingress = loading(sidecar=SIDECAR + INGRESS, policy=POLICY + "defaults: {timeout: 2s}\n").ingress

    assert ingress is not None
    assert ingress.policy.timeout == 300.0
