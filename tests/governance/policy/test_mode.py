"""Who may say that a policy is only observed."""

import pytest

from sidecar.governance.documents.finding import InvalidDocument
from tests.fakes.documents import EXCEPTION, POLICY, SIDECAR, Loading

OVERRIDE = SIDECAR + "    overrides: {mode: observe}\n"
SERVICE = SIDECAR + "mode: observe\n"
FLEET = POLICY + "defaults: {mode: observe}\n"
ONE = POLICY + "destinations: {payments: {mode: observe}}\n"
LEFT_TO_TEAMS = POLICY + "guardrails:\n  mode: {only: [enforce, observe]}\n"


@pytest.mark.parametrize(
    ("sidecar", "policy", "observes"),
    [
        (SIDECAR, POLICY, False),
        (SIDECAR, FLEET, True),
        (SIDECAR, ONE, True),
        (OVERRIDE, ONE, True),
        (OVERRIDE, FLEET, True),
        (SERVICE, FLEET, True),
        (SERVICE, LEFT_TO_TEAMS, True),
        (OVERRIDE, LEFT_TO_TEAMS, True),
        (SIDECAR + "    overrides: {mode: enforce}\n", FLEET, False),
        (SIDECAR + "mode: enforce\n", ONE, False),
        (OVERRIDE + "mode: enforce\n", FLEET, True),
        (OVERRIDE, POLICY + EXCEPTION.replace("budget.ratio", "mode").replace("0.35", "observe"), True),
    ],
)
def test_a_team_observes_where_the_platform_lets_it(
    loading: Loading, sidecar: str, policy: str, *, observes: bool
) -> None:
    snapshot = loading(sidecar=sidecar, policy=policy)

    assert snapshot.destinations["payments"].policy.observe is observes


@pytest.mark.parametrize(
    ("sidecar", "place"),
    [(OVERRIDE, "6: destinations.payments.overrides.mode"), (SERVICE, "6: mode")],
    ids=["destination", "service"],
)
def test_a_team_alone_switches_nothing_off(loading: Loading, sidecar: str, place: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        loading(sidecar=sidecar)

    assert str(caught.value) == f'sidecar.yaml:{place}: must be only enforce (guardrail, built in), got "observe"'
