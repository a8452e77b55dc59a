"""Routes of a destination: settings by method and path, laid over those of the destination.

The first route that covers a request counts, the platform's before the service's. A service may lay settings over a
route of the platform's by naming it; what it is for stays the platform's word then.
"""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import UNSET, Struct

from sidecar.engine.policy import DestinationPolicy
from sidecar.governance.documents.bound import Bound
from sidecar.governance.documents.finding import Finding, RuleId, dotted
from sidecar.governance.documents.route_match import RouteMatch
from sidecar.governance.documents.settings import RouteSettings
from sidecar.governance.documents.yaml import Path, Tree
from sidecar.governance.policy.resolve import Layer, Origin, Resolution, Source
from sidecar.governance.policy.waivers import Exemptions


class PlatformRoute(Struct, frozen=True):
    """A route as the policy says it, and what it comes to where the service says nothing."""

    name: str
    match: RouteMatch
    layer: Layer
    resolution: Resolution
    wrong: tuple[Finding, ...] = ()
    """The findings that there are about it already."""


class RouteSnapshot(Struct, frozen=True):
    """A route in force. `origin` is of its match."""

    name: str
    match: RouteMatch
    resolution: Resolution
    origin: Origin

    @property
    def policy(self) -> DestinationPolicy:
        """The policy of its requests; budget, breaker and limit are the destination's."""
        return self.resolution.policy


def platform_routes(
    routes: Sequence[RouteSettings],
    destination: str,
    below: Resolution,
    bounds: Mapping[str, Bound],
    tree: Tree,
    findings: list[Finding],
) -> Iterator[PlatformRoute]:
    """The routes of the policy, judged; what is wrong is added to `findings`."""
    for index, route in enumerate(routes):
        at: Path = ("destinations", destination, "routes", index)
        layer = Layer(Source.PLATFORM, route.settings, tree, at)
        if isinstance(route.match, RouteMatch):
            wrong: list[Finding] = []
            resolution = below.under(layer, bounds, wrong)
            findings.extend(wrong)
            yield PlatformRoute(route.name, route.match, layer, resolution, tuple(wrong))
        else:
            findings.append(
                Finding(tree.file, tree.line(at), dotted((*at, "match")), "is required", rule_id=RuleId.REQUIRED)
            )


def routes_in_force(
    platform: Sequence[PlatformRoute],
    service: Sequence[RouteSettings],
    destination: str,
    below: Resolution,
    bounds: Mapping[str, Bound],
    tree: Tree | None,
    exemptions: Exemptions,
    findings: list[Finding],
) -> Iterator[RouteSnapshot]:
    """All routes of a destination, in their order, over `below`; what is wrong with the service's is added."""
    own = {} if tree is None else {route.name: (index, route) for index, route in enumerate(service)}
    for route in platform:
        wrong: list[Finding] = []
        resolution = below.under(route.layer, bounds, wrong)
        findings.extend(finding for finding in wrong if finding not in route.wrong)
        if tree is not None and route.name in own:
            index, laid_over = own.pop(route.name)
            at: Path = ("destinations", destination, "routes", index)
            if laid_over.match is not UNSET:
                place = _origin(route.match, route.layer).place
                rule = f"is for the platform to say, which has a route of this name ({place})"
                path = (*at, "match")
                findings.append(Finding(tree.file, tree.line(path), dotted(path), rule))
            layer = Layer(Source.OVERRIDE, laid_over.settings, tree, at)
            resolution = resolution.under(layer, bounds, findings, exemptions)
        yield RouteSnapshot(route.name, route.match, resolution, _origin(route.match, route.layer))
    for index, added in own.values():
        assert tree is not None
        at = ("destinations", destination, "routes", index)
        if not isinstance(added.match, RouteMatch):
            rule = "is required: the platform has no route of this name"
            findings.append(Finding(tree.file, tree.line(at), dotted((*at, "match")), rule, rule_id=RuleId.REQUIRED))
            continue
        layer = Layer(Source.OVERRIDE, added.settings, tree, at)
        resolution = below.under(layer, bounds, findings, exemptions)
        yield RouteSnapshot(added.name, added.match, resolution, _origin(added.match, layer))


def _origin(match: RouteMatch, layer: Layer) -> Origin:
    return Origin(match.text, layer.source, *layer.tree.place((*layer.at, "match")))
