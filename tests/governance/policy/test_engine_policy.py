import pytest

from sidecar.engine.policy import DestinationPolicy
from sidecar.governance.documents.settings import SETTINGS
from sidecar.governance.documents.units import Duration
from sidecar.governance.policy.engine_policy import engine_rule, policy_of, settings_of


def test_settings_and_policy_are_the_same_said_in_two_ways() -> None:
    settings = settings_of(DestinationPolicy())

    assert settings.keys() == SETTINGS.keys()
    assert policy_of(settings) == DestinationPolicy()


@pytest.mark.parametrize(
    ("setting", "value", "rule"),
    [
        ("budget.ratio", 1.1, "must be between 0 and 1.0"),
        ("retry.max_attempts", 11, "must be between 1 and 10"),
        ("retry.backoff.base", Duration(0.0001), "must be between 1ms and 1m"),
        ("timeout", Duration(4000), "must be over 0s and at most 1h"),
        ("budget.ratio", 1.0, None),
    ],
)
def test_the_engine_says_what_a_setting_may_be(setting: str, value: object, rule: str | None) -> None:
    breach = engine_rule(setting, value)

    assert (None if breach is None else breach.rule) == rule


def test_a_rule_between_two_settings_is_not_the_setting_s_own() -> None:
    assert engine_rule("retry.backoff.base", Duration(2)) is None
    assert engine_rule("retry.backoff.max", Duration(0.01)) is None
