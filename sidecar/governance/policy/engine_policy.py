"""Settings by dotted path as the policy an engine runs on, and back.

The engine's own bounds are told from here too: they are asked of the engine, so that nothing else has to repeat them.
"""

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from sidecar.engine.policy import DestinationPolicy, InvalidPolicy, require
from sidecar.governance.documents.finding import RuleBreach, RuleId
from sidecar.governance.documents.settings import SETTINGS

_USUAL = DestinationPolicy()


def policy_of(values: Mapping[str, Any]) -> DestinationPolicy:
    """The engine's policy. Raises InvalidPolicy with the first rule of the engine that is broken."""
    require(
        values["idempotency_key.retention"] > 0 or not values["idempotency_key.honours"],
        "idempotency_key.retention",
        "must be over 0s where {} is true: how long keys are kept",
        values["idempotency_key.retention"],
        ("idempotency_key.honours",),
    )
    given: dict[str, Any] = {}
    for setting, spec in SETTINGS.items():
        if spec.engine_path is not None:
            *groups, name = spec.engine_path.split(".")
            group = given
            for step in groups:
                group = group.setdefault(step, {})
            group[name] = spec.engine_form.to_engine(values[setting])
    policy: DestinationPolicy = _built(_USUAL, given)
    return policy


def settings_of(policy: DestinationPolicy) -> dict[str, object]:
    """The settings that amount to `policy`."""
    return {
        setting: spec.default
        if spec.engine_path is None
        else spec.engine_form.from_engine(attrgetter(spec.engine_path)(policy))
        for setting, spec in SETTINGS.items()
    }


def _built(usual: Any, given: Mapping[str, Any]) -> Any:
    """A policy like `usual` with the fields that are given, each group of fields built first and in their order."""
    arguments: dict[str, Any] = {}
    for name in usual.__struct_fields__:
        if name in given:
            value = given[name]
            arguments[name] = _built(getattr(usual, name), value) if isinstance(value, dict) else value
    return type(usual)(**arguments)


def engine_rule(setting: str, value: object) -> RuleBreach | None:
    """The rule that `value` breaks whatever the other settings and the guardrails are, or None."""
    if (rule := SETTINGS[setting].ceiling_rule(value)) is not None:
        return rule
    try:
        policy_of({**settings_of(_USUAL), setting: value})
    except InvalidPolicy as error:
        return RuleBreach(error.rule, RuleId(error.code.value)) if error.field == setting and not error.others else None
    return None
