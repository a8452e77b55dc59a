"""Envoy's routes and clusters: `envoy.config.route.v3` and `envoy.config.cluster.v3`, as YAML or JSON.

Read from a bootstrap, from `resources` of a discovery response or file, or from a configuration dump: wherever
`virtual_hosts` and clusters stand.
"""

from typing import Final

from sidecar.governance.documents.route_match import RouteMatch
from sidecar.governance.documents.units import Duration
from sidecar.migration.field_reader import FieldReader
from sidecar.migration.foreign_document import ForeignValue, search, wrong
from sidecar.migration.retry_conditions import retry_conditions
from sidecar.migration.route_paths import exact_match, regex_match
from sidecar.migration.translation import ImportedDestination, ImportedRoute, Translation

DIALECT: Final = "envoy"

_DEFAULT_RETRIES: Final = 1
_WITHOUT_LIMIT: Final = 100
"""More concurrent retries than any cluster needs: written by people who wanted no limit."""
_WRITE_METHODS: Final = frozenset({"POST", "PATCH"})
_CAREFUL_FAILURES: Final = 5

_RETRY_REASONS: Final = {
    "retrypriority": "endpoints have no priorities",
    "retryhostpredicate": "a retry avoids the endpoint that failed by itself",
    "retryoptionspredicates": "extensions have no equal",
    "hostselectionretrymaxattempts": "a retry avoids the endpoint that failed by itself",
    "pertryidletimeout": "idle_timeout is between two pieces of a body",
    "retriableheaders": "a retry is decided by status and fault, not by headers of the answer",
    "retriablerequestheaders": "a retry is not switched on by headers of the request",
}
_THRESHOLD_REASONS: Final = {
    "maxconnections": "connections follow from what is in flight: concurrency.max_in_flight",
    "maxconnectionpools": "there is one pool for each endpoint",
}
_OUTLIER_REASONS: Final = {
    "interval": "endpoints are judged at each answer, not at intervals",
    "baseejectiontime": "an ejected endpoint is probed, and comes back with its first good answer",
    "maxejectiontime": "an ejected endpoint is probed, and comes back with its first good answer",
    "maxejectionpercent": "the last endpoints are never ejected",
}


def has_envoy(document: ForeignValue) -> bool:
    """Whether a document is a configuration of Envoy."""
    if document.get("static_resources", "virtual_hosts", "configs", "retry_policy", "load_assignment"):
        return True
    listed = [part for part in (document.get("resources"), document.get("clusters")) if part is not None]
    return any(
        _is_cluster(item) or item.get("@type", "virtual_hosts") is not None for part in listed for item in part.items()
    )


def import_envoy(documents: list[ForeignValue], translation: Translation) -> None:
    """Read all documents: a route and its cluster may stand in different files."""
    clusters = {
        name: cluster
        for cluster in _clusters(documents)
        if (name := getattr(cluster.get("name"), "text", None)) is not None
    }
    retried: dict[str, ForeignValue] = {}
    for hosts in search(documents, frozenset({"virtualhosts"})):
        if not hosts.is_sequence:
            translation.findings.append(wrong(hosts, "must be a list of virtual hosts"))
        for host in hosts.items():
            _virtual_host(host, clusters, translation, retried)
    for name, cluster in clusters.items():
        _cluster(name, cluster, translation, retried.pop(name, None))
    for name, policy in retried.items():
        translation.warn(
            policy,
            "no_budget",
            f"cluster {name} is not among these files: nothing says that its retries are a share of its requests",
        )


def _clusters(documents: list[ForeignValue]) -> list[ForeignValue]:
    found: dict[int, ForeignValue] = {}
    for listed in search(documents, frozenset({"clusters", "resources"})):
        for item in listed.items():
            if _is_cluster(item):
                found[item.identity] = item
    for dumped in search(documents, frozenset({"cluster"})):  # of a configuration dump, or a document of its own
        if _is_cluster(dumped):
            found[dumped.identity] = dumped
    for document in documents:
        if _is_cluster(document):
            found[document.identity] = document
    return list(found.values())


def _is_cluster(value: ForeignValue) -> bool:
    if not value.is_mapping or value.get("name") is None:
        return False
    kind = getattr(value.get("@type"), "text", None) or ""
    return kind.endswith(".Cluster") or (
        value.get("virtual_hosts", "domains", "filter_chains") is None
        and value.get("load_assignment", "circuit_breakers", "connect_timeout", "lb_policy", "outlier_detection")
        is not None
    )


def _virtual_host(
    host: ForeignValue,
    clusters: dict[str, ForeignValue],
    translation: Translation,
    retried: dict[str, ForeignValue],
) -> None:
    domains = host.get("domains")
    routes = host.get("routes")
    targets: set[str] = set()
    for route in routes.items() if routes is not None else []:
        action = route.get("route")
        if action is None:
            continue  # a redirect or an answer of Envoy's own calls no cluster
        names = _targets(action, translation)
        targets.update(names)
        for name in names:
            destination = translation.destination(name, clusters.get(name, action))
            _route(route, action, host, destination, translation, retried, name)
    if len(targets) == 1 and domains is not None:
        destination = translation.destination(next(iter(targets)), host)
        for domain in domains.items():
            if domain.text and "*" not in domain.text:
                destination.hosts.setdefault(domain.text, domain)
    elif len(targets) > 1 and domains is not None:
        told = ", ".join(sorted(targets))
        translation.leave(domains, f"leads to {told} by path: a host leads to one destination; name each by its own")


def _targets(action: ForeignValue, translation: Translation) -> list[str]:
    one = action.get("cluster")
    if one is not None and one.text:
        return [one.text]
    weighted = action.at("weighted_clusters", "clusters")
    if weighted is not None:
        translation.leave(weighted, "traffic is not split by weight: each cluster is a destination of its own")
        named = [item.get("name") for item in weighted.items()]
        return [value.text for value in named if value is not None and value.text]
    header = action.get("cluster_header", "cluster_specifier_plugin", "inline_cluster_specifier_plugin")
    if header is not None:
        translation.leave(header, "a destination is named by its host, not computed from a header")
    return []


def _route(
    route: ForeignValue,
    action: ForeignValue,
    host: ForeignValue,
    destination: ImportedDestination,
    translation: Translation,
    retried: dict[str, ForeignValue],
    cluster: str,
) -> None:
    matched, methods = _match(route.get("match"), translation)
    policy = action.get("retry_policy") or host.get("retry_policy")
    timeouts = FieldReader(action, translation)
    timeout = timeouts.duration("timeout")
    idle = timeouts.duration("idle_timeout")
    if matched is None and methods and (policy is not None or timeout is not None):
        found = route.get("match")
        if found is not None:
            translation.leave(found, "a route is for methods and one path: its settings are the destination's")
    name = getattr(route.get("name"), "text", None) or (matched.path.strip("/") if matched is not None else "")
    imported = None if matched is None else translation.route(destination, matched, name or "root", route)
    if timeout is not None:
        seconds, source = timeout
        if not seconds:
            translation.warn(source, "no_timeout", "no timeout: a call may wait for ever; the policy's own counts here")
        else:
            translation.put(destination, "timeout", seconds, source, route=imported)
    if idle is not None and idle[0] > 0:
        translation.put(destination, "idle_timeout", idle[0], idle[1], route=imported)
    if policy is not None:
        _retry_policy(policy, timeout, methods, destination, imported, translation)
        retried.setdefault(cluster, policy)
    hedge = action.get("hedge_policy") or host.get("hedge_policy")
    if hedge is not None:
        _hedge(hedge, methods, translation)
    for word in ("request_mirror_policies", "rate_limits", "internal_redirect_policy", "max_stream_duration"):
        found = action.get(word)
        if found is not None:
            translation.leave(found, "has no equal here")


def _match(match: ForeignValue | None, translation: Translation) -> tuple[RouteMatch | None, list[str]]:
    """The match as a route's, None where it is for the whole destination, and the methods it names."""
    if match is None:
        return None, []
    methods = []
    headers = match.get("headers")
    for header in headers.items() if headers is not None else []:
        name = header.get("name")
        exact = header.at("string_match", "exact") or header.get("exact_match")
        if name is not None and name.text == ":method" and exact is not None and exact.text:
            methods.append(exact.text)
        else:
            translation.leave(header, "a route is for methods and a path, not for headers")
    path, regex, prefix = (match.get(word) for word in ("path", "safe_regex", "prefix"))
    if path is None and prefix is None:
        prefix = match.get("path_separated_prefix")
    found = None
    if path is not None and path.text:
        found = exact_match(path.text, methods)
    elif regex is not None:
        pattern = regex.get("regex")
        found = regex_match(pattern.text, methods) if pattern is not None and pattern.text else None
        if found is None:
            translation.leave(regex, "is no path of whole segments: its settings are the destination's")
    elif prefix is not None and prefix.text not in {None, "/", ""}:
        translation.leave(prefix, "a route is for one path, not for a prefix: its settings are the destination's")
    return found, methods


def _retry_policy(
    policy: ForeignValue,
    timeout: tuple[Duration, ForeignValue] | None,
    methods: list[str],
    destination: ImportedDestination,
    route: ImportedRoute | None,
    translation: Translation,
) -> None:
    reader = FieldReader(policy, translation)
    on = reader.text("retry_on")
    retries = reader.whole("num_retries")
    listed = reader.take("retriable_status_codes")
    if on is None:
        translation.leave(policy, "nothing is retried without retry_on")
        return
    statuses_of(on[0], on[1], listed, methods, destination, route, translation)
    attempts = (retries[0] if retries is not None else _DEFAULT_RETRIES) + 1
    source = retries[1] if retries is not None else on[1]
    attempts_of(attempts, source, destination, route, translation, DIALECT)
    each = reader.duration("per_try_timeout")
    if each is not None and each[0] > 0:
        translation.put(destination, "per_attempt_timeout", each[0], each[1], route=route)
        whole = timeout[0] if timeout is not None else Duration(15)
        below_timeout(each, whole, translation)
    backoff = reader.take("retry_back_off")
    if backoff is not None:
        steps = FieldReader(backoff, translation)
        base, longest = steps.duration("base_interval"), steps.duration("max_interval")
        if base is not None:
            translation.put(destination, "retry.backoff.base", base[0], base[1], route=route)
            if longest is None:
                why = "Envoy's default, ten times the base"
                translation.put(destination, "retry.backoff.max", Duration(base[0] * 10), base[1], route=route, why=why)
        if longest is not None:
            translation.put(destination, "retry.backoff.max", longest[0], longest[1], route=route)
        steps.leave_rest({})
    _rate_limited(reader.take("rate_limited_retry_back_off"), on[1], destination, route, translation)
    reader.leave_rest(_RETRY_REASONS)


def statuses_of(
    text: str,
    source: ForeignValue,
    listed: ForeignValue | None,
    methods: list[str],
    destination: ImportedDestination,
    route: ImportedRoute | None,
    translation: Translation,
) -> None:
    """Translate `retry_on`, with the statuses that are listed beside it, and warn of what it risks."""
    conditions = retry_conditions(text)
    for word, reason in conditions.left.items():
        translation.leave(source, f"{word}: {reason}")
    statuses = set(conditions.statuses)
    if listed is not None and conditions.wants_listed_statuses:
        for item in listed.items():
            if item.number is None or item.number != int(item.number) or not 100 <= item.number <= 599:
                translation.findings.append(wrong(item, "must be a status from 100 to 599"))
            else:
                statuses.add(int(item.number))
    elif listed is not None:
        translation.leave(listed, "is not used without retriable-status-codes in retry_on")
    if conditions.repeats_500 or 500 in statuses:
        translation.warn(
            source, "retries_500", "500 is retried: it says that the request failed, not that another would fare better"
        )
    if conditions.repeats_409:
        translation.warn(source, "retries_409", "409 is retried: a conflict is the caller's to resolve")
    writes = not methods or _WRITE_METHODS & set(methods)
    if conditions.repeats_executed and writes:
        translation.warn(
            source,
            "retries_writes",
            "POST and PATCH are retried too, after they may have been executed: a retry may charge twice; here writes "
            "are retried only with an Idempotency-Key that the destination honours",
        )
    why = "without 500 and other 5xx" if conditions.repeats_500 else ""
    translation.put(destination, "retry.statuses", sorted(statuses), source, route=route, why=why)
    translation.put(destination, "retry.faults", conditions.faults, source, route=route)


def attempts_of(
    attempts: int,
    source: ForeignValue,
    destination: ImportedDestination,
    route: ImportedRoute | None,
    translation: Translation,
    dialect: str,
) -> None:
    """Translate how often one call is tried, the first time included, and warn where that is a storm by itself."""
    translation.put(destination, "retry.max_attempts", attempts, source, route=route)
    most, _ = destination.attempts.get(dialect, (0, source))
    if attempts > max(most, 1):
        destination.attempts[dialect] = attempts, source
    if attempts > 4:
        translation.warn(source, "many_attempts", f"up to {attempts} attempts of one call")


def below_timeout(each: tuple[Duration, ForeignValue], whole: Duration, translation: Translation) -> None:
    """Warn where an attempt may take as long as the whole call."""
    if 0 < whole <= each[0]:
        translation.warn(
            each[1],
            "attempt_not_below_timeout",
            f"an attempt may take {each[0]}, the whole call {whole}: no retry can follow an attempt that is slow",
        )


def _rate_limited(
    limited: ForeignValue | None,
    source: ForeignValue,
    destination: ImportedDestination,
    route: ImportedRoute | None,
    translation: Translation,
) -> None:
    if limited is None:
        translation.warn(
            source,
            "ignores_retry_after",
            "Retry-After is ignored without rate_limited_retry_back_off: retries leave while the destination asked for "
            "a pause; here it is honoured",
        )
        return
    reader = FieldReader(limited, translation)
    longest = reader.duration("max_interval")
    if longest is not None:
        translation.put(destination, "retry.retry_after.max", longest[0], longest[1], route=route)
    headers = reader.take("reset_headers")
    for header in headers.items() if headers is not None else []:
        name = header.get("name")
        if name is not None and (name.text or "").lower() != "retry-after":
            translation.leave(header, "of headers that ask for a pause, Retry-After alone is read")
    reader.leave_rest({})


def _hedge(hedge: ForeignValue, methods: list[str], translation: Translation) -> None:
    reader = FieldReader(hedge, translation)
    late = reader.boolean("hedge_on_per_try_timeout")
    if late is not None and late[0]:
        translation.leave(late[1], "is how every late attempt is treated: its retry goes beside it, paid by the budget")
        if not methods or _WRITE_METHODS & set(methods):
            translation.warn(late[1], "hedges_writes", "two attempts of one POST may run at once")
    reader.leave_rest(
        {
            "initialrequests": "a second attempt is sent when the first is late, never at once",
            "additionalrequestchance": "a second attempt is sent when the first is late, never by chance",
        }
    )


def _cluster(name: str, cluster: ForeignValue, translation: Translation, retried: ForeignValue | None) -> None:
    destination = translation.destination(name, cluster)
    scheme = "https" if _in_tls(cluster) else "http"
    sockets = cluster.get("load_assignment")
    for address in search([] if sockets is None else [sockets], frozenset({"socketaddress"})):
        reader = FieldReader(address, translation)
        host, port = reader.text("address"), reader.whole("port_value")
        if host is not None and port is not None:
            shown = f"[{host[0]}]" if ":" in host[0] else host[0]
            destination.endpoints.setdefault(f"{scheme}://{shown}:{port[0]}", address)
    _thresholds(cluster.at("circuit_breakers", "thresholds"), destination, translation, cluster, retried)
    outlier = cluster.get("outlier_detection")
    if outlier is not None:
        outlier_of(FieldReader(outlier, translation), destination, translation)
    connect = cluster.get("connect_timeout")
    if connect is not None:
        translation.leave(connect, "limits.connect_timeout is for the whole sidecar: 1s unless the policy says another")


def _in_tls(cluster: ForeignValue) -> bool:
    sockets = [cluster.get("transport_socket"), cluster.get("transport_socket_matches")]
    return any(
        (found.text or "").endswith(("UpstreamTlsContext", "transport_sockets.tls"))
        for socket in sockets
        if socket is not None
        for found in search([socket], frozenset({"@type", "name"}))
    )


def _thresholds(
    thresholds: ForeignValue | None,
    destination: ImportedDestination,
    translation: Translation,
    cluster: ForeignValue,
    retried: ForeignValue | None,
) -> None:
    budget_given = False
    for threshold in thresholds.items() if thresholds is not None else []:
        reader = FieldReader(threshold, translation)
        priority = reader.take("priority")
        if priority is not None and priority.text == "HIGH":
            translation.leave(threshold, "requests have no priorities")
            continue
        for foreign, setting in (
            ("max_requests", "concurrency.max_in_flight"),
            ("max_pending_requests", "concurrency.max_waiting"),
        ):
            most = reader.whole(foreign)
            if most is not None:
                translation.put(destination, setting, most[0], most[1])
        retries = reader.whole("max_retries")
        if retries is not None:
            translation.leave(retries[1], "counts retries in flight: budget.ratio bounds them as a share of requests")
            if retries[0] > _WITHOUT_LIMIT:
                translation.warn(retries[1], "no_budget", f"{retries[0]} retries at once are no limit")
                budget_given = True
        budget = reader.take("retry_budget")
        if budget is not None:
            budget_given = True
            _budget(budget, destination, translation)
        reader.ignore("track_remaining")
        reader.leave_rest(_THRESHOLD_REASONS)
    if retried is not None and not budget_given:
        translation.warn(
            retried,
            "no_budget",
            f"cluster {cluster.get('name').text} has no retry_budget: max_retries counts retries in flight, "  # type: ignore[union-attr]
            f"so failures that come fast are all retried; here retries are a share of requests",
        )


def _budget(budget: ForeignValue, destination: ImportedDestination, translation: Translation) -> None:
    reader = FieldReader(budget, translation)
    percent = reader.take("budget_percent")
    value = percent.get("value") if percent is not None and percent.is_mapping else percent
    if percent is None:
        translation.put(destination, "budget.ratio", 0.2, budget, why="Envoy's default of 20 %")
    elif value is None or value.number is None or not 0 <= value.number <= 100:
        translation.findings.append(wrong(value or percent, "must be a percentage from 0 to 100"))
    else:
        budget_of(float(value.number), value, destination, translation)
    least = reader.whole("min_retry_concurrency")
    if least is not None:
        translation.leave(
            least[1], "counts retries in flight; budget.min_retries, 3 in a window, keeps a quiet destination retried"
        )
    interval = reader.take("budget_interval")
    if interval is not None:
        translation.leave(interval, "budget.window is the window of requests and retries alike")
    reader.leave_rest({})


def budget_of(percent: float, source: ForeignValue, destination: ImportedDestination, translation: Translation) -> None:
    """Translate a budget in percent, and warn of one that bounds nothing."""
    translation.put(destination, "budget.ratio", round(percent / 100, 4), source)
    if percent > 20:
        translation.warn(source, "large_budget", f"retries may add {percent:g} % to the load of a failing destination")


def outlier_of(reader: FieldReader, destination: ImportedDestination, translation: Translation) -> None:
    """Translate outlier detection: the count of failures in a row, for the destination as a whole."""
    for word in ("consecutive_gateway_failure", "consecutive_gateway_errors"):
        _failures_of(reader, word, destination, translation)
    for word in ("consecutive_5xx", "consecutive_5xx_errors", "consecutive_errors"):
        _failures_of(reader, word, destination, translation)
    ejected = reader.whole("max_ejection_percent")
    if ejected is not None:
        translation.leave(ejected[1], _OUTLIER_REASONS["maxejectionpercent"])
        if ejected[0] >= 100:
            translation.warn(ejected[1], "ejects_all", "all endpoints may be ejected at once, by one bad second")
    reader.leave_rest(_OUTLIER_REASONS)


def _failures_of(reader: FieldReader, word: str, destination: ImportedDestination, translation: Translation) -> None:
    failures = reader.whole(word)
    if failures is None:
        return
    if failures[0] < _CAREFUL_FAILURES:
        translation.leave(
            failures[1],
            "counts the failures of one endpoint, which is ejected here by itself; as breaker.consecutive_failures of "
            "the whole destination it would be too few",
        )
        return
    translation.put(
        destination,
        "breaker.consecutive_failures",
        failures[0],
        failures[1],
        why="counted for the destination as a whole; single endpoints are ejected by a detector of their own",
    )
