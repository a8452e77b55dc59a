"""The platform's policy, judged by itself: what lies below every team's overrides."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from msgspec import UNSET, Struct, field, structs

from sidecar.engine.policy import InvalidPolicy
from sidecar.governance.documents.bound import Bound, written
from sidecar.governance.documents.document import INGRESS_NAME, LimitSettings, Rollout, read_policy
from sidecar.governance.documents.finding import Finding, InvalidDocument, RuleId, dotted, shown
from sidecar.governance.documents.limits import WireLimits
from sidecar.governance.documents.settings import Settings
from sidecar.governance.documents.sidecar_version import SidecarVersion
from sidecar.governance.documents.units import BodyLimit, Duration
from sidecar.governance.documents.yaml import Tree, parse
from sidecar.governance.policy.delivery import Delivery
from sidecar.governance.policy.guardrails import BASELINE_GUARDRAILS, read_guardrails
from sidecar.governance.policy.resolve import BASELINE, Layer, Resolution, Source
from sidecar.governance.policy.routes import PlatformRoute, platform_routes
from sidecar.governance.policy.waivers import Grant, read_exceptions

BUILT_IN_OWNER = "built in"


class Platform(Struct, frozen=True):
    """A policy as far as the clock has no say in it. `tree` is None for the compiled-in one."""

    tree: Tree | None
    version: int
    owner: str
    content: bytes
    bounds: Mapping[str, Bound]
    defaults: Resolution
    destinations: Mapping[str, Resolution]
    limits: WireLimits
    via: bool
    access_log_sample: float
    warnings: tuple[str, ...]
    grants: tuple[Grant, ...] = ()
    expires: date | None = None
    min_sidecar: SidecarVersion | None = None
    rollout: Rollout | None = None
    dry_run: bool = False
    routes: Mapping[str, tuple[PlatformRoute, ...]] = field(default_factory=dict)
    """The routes of each destination that has any."""
    ingress: Layer | None = None
    """The settings of `destinations.ingress`, for the way to the service itself."""
    contract: Layer | None = None
    """The terms of `defaults.idempotency`, for the contract of the service's own routes."""

    @classmethod
    def read(cls, delivery: Delivery | None, findings: list[Finding]) -> "Platform":
        """The policy as delivered. With findings it is the baseline, or as much as holds together, to find more."""
        tree = None if delivery is None else _parse(delivery, findings)
        policy = None if tree is None else read_policy(tree, findings)
        if delivery is None or tree is None or policy is None:
            return cls(
                tree=None,
                version=0,
                owner=BUILT_IN_OWNER,
                content=b"",
                bounds=BASELINE_GUARDRAILS,
                defaults=BASELINE,
                destinations={},
                limits=WireLimits(),
                via=True,
                access_log_sample=0.0,
                warnings=("no policy file is named: the compiled-in baseline is in force",),
            )
        bounds = read_guardrails(policy.guardrails, tree, findings)
        grants = read_exceptions(policy.exceptions, bounds, tree, findings)
        layer = Layer(Source.DEFAULT, policy.defaults, tree, ("defaults",))
        defaults = BASELINE.under(layer, bounds, findings)
        _check_inherited(defaults, bounds, tree, findings)
        destinations = {
            name: defaults.under(Layer(Source.PLATFORM, settings, tree, ("destinations", name)), bounds, findings)
            for name, settings in policy.destinations.items()
            if name != INGRESS_NAME
        }
        return cls(
            tree=tree,
            version=policy.version,
            owner=policy.owner,
            content=delivery.content,
            bounds=bounds,
            defaults=defaults,
            destinations=destinations,
            routes={
                name: tuple(
                    platform_routes(policy.destinations[name].routes, name, destinations[name], bounds, tree, findings)
                )
                for name in destinations
                if policy.destinations[name].routes
            },
            limits=_limits(policy.limits, tree, findings),
            via=policy.via,
            access_log_sample=policy.access_log.sample,
            warnings=(),
            grants=tuple(grants),
            expires=None if policy.expires is UNSET else policy.expires,
            min_sidecar=None if policy.min_sidecar is UNSET else policy.min_sidecar,
            rollout=None if policy.rollout is UNSET else policy.rollout,
            dry_run=policy.dry_run,
            contract=Layer(Source.DEFAULT, Settings(idempotency=policy.defaults.idempotency), tree, ("defaults",)),
            ingress=(
                Layer(Source.PLATFORM, policy.destinations[INGRESS_NAME], tree, ("destinations", INGRESS_NAME))
                if INGRESS_NAME in policy.destinations
                else None
            ),
        )

    def destination(self, name: str) -> Resolution:
        """The platform's settings for a destination, before the team's overrides."""
        return self.destinations.get(name, self.defaults)


def _check_inherited(defaults: Resolution, bounds: Mapping[str, Bound], tree: Tree, findings: list[Finding]) -> None:
    """A guardrail that leaves out a compiled-in number which the document does not set would bind no service."""
    for setting, bound in bounds.items():
        value = defaults.values[setting]
        rule = bound.broken(value, value)
        if rule is not None and defaults.provenance[setting].source is Source.BASELINE:
            path = ("guardrails", setting)
            text = f"leaves out what is built in: set defaults.{setting} too"
            findings.append(Finding(tree.file, tree.line(path), dotted(path), text, written(value)))


def _limits(settings: LimitSettings, tree: Tree, findings: list[Finding]) -> WireLimits:
    given = {name: value for name, value in structs.asdict(settings).items() if value is not UNSET}
    while True:
        try:
            return WireLimits(**{name: _plain(value) for name, value in given.items()})
        except InvalidPolicy as error:
            cause = error.field if error.field in given else next(name for name in error.others if name in given)
            path = ("limits", cause)
            rule = error.rule if cause == error.field else f"{error.field} {error.rule}"
            findings.append(
                Finding(tree.file, tree.line(path), dotted(path), rule, shown(tree.at(path)), RuleId(error.code.value))
            )
            del given[cause]


def _plain(value: object) -> Any:
    """A written limit as the number it stands for."""
    match value:
        case BodyLimit():
            return None if value.off else int(value)
        case Duration():
            return float(value)
        case int():
            return int(value)
    raise TypeError(value)


def _parse(delivery: Delivery, findings: list[Finding]) -> Tree | None:
    try:
        return parse(delivery.content, delivery.name)
    except InvalidDocument as error:
        findings.extend(error.findings)
        return None
