import pytest

from sidecar.engine.policy import IDEMPOTENT_METHODS
from sidecar.governance.documents.settings import SETTINGS, BudgetSettings, Settings, given, held
from sidecar.governance.documents.units import Duration
from sidecar.governance.policy.resolve import BASELINE


def test_every_setting_has_a_dotted_path_and_a_built_in_value() -> None:
    assert list(SETTINGS) == list(BASELINE.values)
    assert "retry.backoff.jitter" in SETTINGS


def test_only_what_is_given_is_listed() -> None:
    settings = Settings(timeout=Duration(3), budget=BudgetSettings(ratio=0.15))

    assert given(settings) == {"timeout": 3.0, "budget.ratio": 0.15}
    assert given(Settings()) == {}


@pytest.mark.parametrize(
    ("written", "value"),
    [("idempotent", IDEMPOTENT_METHODS), ([503, 429], frozenset({429, 503})), ("full", "full"), (3, 3)],
)
def test_lists_are_held_as_sets_and_idempotent_as_its_methods(written: object, value: object) -> None:
    assert held(written) == value
