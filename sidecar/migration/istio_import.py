"""Istio's VirtualService and DestinationRule (`networking.istio.io`, v1alpha3 to v1)."""

from typing import Final

from sidecar.governance.documents.route_match import RouteMatch
from sidecar.governance.documents.units import Duration
from sidecar.migration.envoy_import import attempts_of, below_timeout, budget_of, outlier_of, statuses_of
from sidecar.migration.field_reader import FieldReader
from sidecar.migration.foreign_document import ForeignValue
from sidecar.migration.route_paths import exact_match, regex_match
from sidecar.migration.translation import ImportedDestination, ImportedRoute, Translation

DIALECT: Final = "istio"

_DEFAULT_CONDITIONS: Final = "connect-failure,refused-stream,unavailable,cancelled,503"
"""Istio's conditions where `retryOn` is left out; 503 stands in its list of retriable statuses."""
_DEFAULT_ATTEMPTS: Final = 2
_WITHOUT_LIMIT: Final = 100

_HTTP_REASONS: Final = {
    "fault": "faults are not injected",
    "mirror": "traffic is not mirrored",
    "mirrors": "traffic is not mirrored",
    "mirrorpercentage": "traffic is not mirrored",
    "rewrite": "requests are passed on as they are",
    "redirect": "requests are passed on as they are",
    "directresponse": "requests are passed on as they are",
    "headers": "headers are not rewritten",
    "corspolicy": "is the service's own to answer",
    "delegate": "import the delegate's file too",
}


def has_istio(document: ForeignValue) -> bool:
    """Whether a document is one of Istio's that is imported."""
    version, kind = document.get("apiVersion"), document.get("kind")
    return (
        version is not None
        and (version.text or "").startswith("networking.istio.io/")
        and kind is not None
        and kind.text in {"VirtualService", "DestinationRule"}
    )


def import_istio(documents: list[ForeignValue], translation: Translation) -> None:
    """Read all documents: a service's retries stand in one, its limits in another."""
    retried: dict[str, ForeignValue] = {}
    limited: set[str] = set()
    for document in documents:
        kind = document.get("kind")
        if kind is not None and kind.text == "VirtualService":
            _virtual_service(document, translation, retried)
    for document in documents:
        kind = document.get("kind")
        if kind is not None and kind.text == "DestinationRule":
            _destination_rule(document, translation, limited)
    for host, source in retried.items():
        if host not in limited:
            translation.warn(
                source,
                "no_budget",
                f"no DestinationRule gives {host} a retryBudget, and Istio's maxRetries has no limit by default; here "
                f"retries are a share of requests",
            )


def _namespace(document: ForeignValue) -> str:
    found = document.at("metadata", "namespace")
    return "" if found is None or found.text is None else found.text


def _destination(
    host: ForeignValue, namespace: str, port: ForeignValue | None, translation: Translation
) -> ImportedDestination:
    """The destination of a host: the first label names it, with the namespace where that is another's."""
    text = host.text or "unnamed"
    labels = text.split(".")
    in_cluster = len(labels) == 1 or (len(labels) > 2 and labels[2] == "svc") or len(labels) == 2
    foreign = in_cluster and len(labels) > 1 and namespace and labels[1] != namespace
    name = (f"{labels[0]}-{labels[1]}" if foreign else labels[0]) if in_cluster else text
    destination = translation.destination(name, host)
    address = f"{text}.{namespace}.svc" if len(labels) == 1 and namespace else text
    destination.hosts.setdefault(text, host)
    if port is not None and port.number is not None:
        destination.endpoints.setdefault(f"http://{address}:{port.number}", port)
    elif not destination.endpoints:
        destination.endpoints.setdefault(f"http://{address}:80", host)
    return destination


def _virtual_service(document: ForeignValue, translation: Translation, retried: dict[str, ForeignValue]) -> None:
    spec = document.get("spec")
    if spec is None:
        return
    for word in ("tcp", "tls"):
        found = spec.get(word)
        if found is not None:
            translation.leave(found, "only HTTP is governed")
    routes = spec.get("http")
    for route in routes.items() if routes is not None else []:
        _http_route(route, _namespace(document), translation, retried)


def _http_route(
    route: ForeignValue, namespace: str, translation: Translation, retried: dict[str, ForeignValue]
) -> None:
    reader = FieldReader(route, translation)
    targets = reader.take("route")
    timeout, retries = reader.duration("timeout"), reader.take("retries")
    name = getattr(reader.take("name"), "text", None)
    matches = _matches(reader.take("match"), translation)
    seen: set[str] = set()
    listed = targets.items() if targets is not None else []
    for target in listed:
        host = target.at("destination", "host")
        if host is None or host.text is None:
            continue
        destination = _destination(host, namespace, target.at("destination", "port", "number"), translation)
        if destination.name in seen:
            continue
        seen.add(destination.name)
        for match in matches:
            imported = None
            if match is not None:
                imported = translation.route(destination, match, name or match.path.strip("/") or "root", route)
            methods = match.methods if match is not None else []
            _calls(timeout, retries, methods, destination, imported, translation)
        if retries is not None:
            count = retries.get("attempts")
            if count is None or count.number != 0:
                _warn_of_pauses(retries, destination, translation)
                retried.setdefault(destination.name, retries)
        else:
            translation.leave(
                route,
                "without retries Istio retries twice what is unsent, unavailable or 503; here the policy's defaults "
                "retry",
            )
    if len(listed) > 1:
        translation.leave(listed[0], "traffic is not split by weight or subset: a destination has all its endpoints")
    reader.leave_rest(_HTTP_REASONS)


def _warn_of_pauses(retries: ForeignValue, destination: ImportedDestination, translation: Translation) -> None:
    translation.warn(
        retries,
        "ignores_retry_after",
        f"Istio ignores Retry-After: retries to {destination.name} leave while it asked for a pause; here it is "
        f"honoured",
    )


def _matches(match: ForeignValue | None, translation: Translation) -> list[RouteMatch | None]:
    """One for each alternative; None stands for the whole destination."""
    if match is None:
        return [None]
    found: list[RouteMatch | None] = []
    for each in match.items():
        reader = FieldReader(each, translation)
        uri, method = reader.take("uri"), reader.take("method")
        exact_method = None if method is None else method.get("exact")
        methods = [exact_method.text] if exact_method is not None and exact_method.text else []
        if method is not None and not methods:
            translation.leave(method, "a route names its methods one by one")
        made = None
        if uri is not None:
            exact, regex, prefix = uri.get("exact"), uri.get("regex"), uri.get("prefix")
            if exact is not None and exact.text:
                made = exact_match(exact.text, methods)
            elif regex is not None and regex.text:
                made = regex_match(regex.text, methods)
                if made is None:
                    translation.leave(regex, "is no path of whole segments: its settings are the destination's")
            elif prefix is not None and prefix.text != "/":
                translation.leave(prefix, "a route is for one path, not for a prefix: settings are the destination's")
        elif methods:
            translation.leave(each, "a route is for methods and one path: its settings are the destination's")
        reader.ignore("name")
        reader.leave_rest({})
        if made not in found:
            found.append(made)
    return found or [None]


def _calls(
    timeout: tuple[Duration, ForeignValue] | None,
    retries: ForeignValue | None,
    methods: list[str],
    destination: ImportedDestination,
    route: ImportedRoute | None,
    translation: Translation,
) -> None:
    if timeout is not None and not timeout[0]:
        translation.warn(timeout[1], "no_timeout", "no timeout: a call may wait for ever; the policy's own counts here")
    elif timeout is not None:
        translation.put(destination, "timeout", timeout[0], timeout[1], route=route)
    if retries is None:
        return
    reader = FieldReader(retries, translation)
    attempts = reader.whole("attempts")
    each, on, backoff = reader.duration("perTryTimeout"), reader.text("retryOn"), reader.duration("backoff")
    if attempts is not None and attempts[0] == 0:
        translation.put(destination, "retry.max_attempts", 1, attempts[1], route=route)
        return
    count = (attempts[0] if attempts is not None else _DEFAULT_ATTEMPTS) + 1
    attempts_of(count, retries if attempts is None else attempts[1], destination, route, translation, DIALECT)
    words, source = (_DEFAULT_CONDITIONS, retries) if on is None else on
    statuses_of(words, source, None, methods, destination, route, translation)
    if each is not None and each[0] > 0:
        translation.put(destination, "per_attempt_timeout", each[0], each[1], route=route)
        if timeout is not None:
            below_timeout(each, timeout[0], translation)
    if backoff is not None:
        translation.put(destination, "retry.backoff.base", backoff[0], backoff[1], route=route)
    reader.leave_rest(
        {
            "retryremotelocalities": "endpoints have no localities",
            "retryignoreprevioushosts": "a retry avoids the endpoint that failed by itself",
        }
    )


def _destination_rule(document: ForeignValue, translation: Translation, limited: set[str]) -> None:
    spec = document.get("spec")
    host = None if spec is None else spec.get("host")
    if spec is None or host is None or host.text is None:
        return
    if "*" in host.text:
        translation.leave(host, "is for many hosts: a destination is one")
        return
    destination = _destination(host, _namespace(document), None, translation)
    policy = spec.get("trafficPolicy")
    if policy is not None:
        _traffic_policy(policy, destination, translation, limited)
    subsets = spec.get("subsets")
    for subset in subsets.items() if subsets is not None else []:
        if subset.get("trafficPolicy") is not None:
            translation.leave(subset, "subsets are not told apart: a destination has one limit and one budget")


def _traffic_policy(
    policy: ForeignValue, destination: ImportedDestination, translation: Translation, limited: set[str]
) -> None:
    reader = FieldReader(policy, translation)
    budget = reader.take("retryBudget")
    if budget is not None:
        limited.add(destination.name)
        share = FieldReader(budget, translation)
        percent = share.number("percent")
        if percent is None:
            translation.put(destination, "budget.ratio", 0.2, budget, why="Istio's default of 20 %")
        else:
            budget_of(percent[0], percent[1], destination, translation)
        share.leave_rest({"minretryconcurrency": "counts retries in flight; budget.min_retries is retries in a window"})
    pool = reader.take("connectionPool")
    if pool is not None:
        _connection_pool(pool, destination, translation)
    outlier = reader.take("outlierDetection")
    if outlier is not None:
        outlier_of(FieldReader(outlier, translation), destination, translation)
    tls = reader.take("tls")
    mode = None if tls is None else tls.get("mode")
    if mode is not None and mode.text in {"SIMPLE", "MUTUAL"}:
        translation.leave(mode, "TLS is the sidecar file's: write the endpoints as https://")
    reader.ignore("tls")
    reader.leave_rest(
        {
            "loadbalancer": "the less loaded of two endpoints is chosen (P2C), always",
            "portlevelsettings": "a destination has one set of settings: give each port a destination of its own",
            "tunnel": "calls are not tunnelled",
        }
    )


def _connection_pool(pool: ForeignValue, destination: ImportedDestination, translation: Translation) -> None:
    tcp, http = pool.get("tcp"), pool.get("http")
    if tcp is not None:
        FieldReader(tcp, translation).leave_rest(
            {
                "maxconnections": "connections follow from what is in flight: concurrency.max_in_flight",
                "connecttimeout": "limits.connect_timeout is for the whole sidecar: 1s unless the policy says another",
                "maxconnectionduration": "connections are kept as long as the endpoint keeps them",
            }
        )
    if http is None:
        return
    reader = FieldReader(http, translation)
    for foreign, setting in (
        ("http2MaxRequests", "concurrency.max_in_flight"),
        ("http1MaxPendingRequests", "concurrency.max_waiting"),
    ):
        most = reader.whole(foreign)
        if most is not None:
            translation.put(destination, setting, most[0], most[1])
    retries = reader.whole("maxRetries")
    if retries is not None:
        translation.leave(retries[1], "counts retries in flight: budget.ratio bounds them as a share of requests")
        if retries[0] > _WITHOUT_LIMIT:
            translation.warn(retries[1], "no_budget", f"{retries[0]} retries at once are no limit")
    reader.leave_rest(
        {
            "maxrequestsperconnection": "connections are kept as long as the endpoint keeps them",
            "idletimeout": "limits.upstream_idle_timeout is for the whole sidecar",
            "h2upgradepolicy": "is not the policy's to say",
            "maxconcurrentstreams": "concurrency.max_in_flight bounds what is in flight",
        }
    )
