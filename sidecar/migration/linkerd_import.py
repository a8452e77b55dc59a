"""Linkerd's retry and timeout annotations on Service, HTTPRoute and GRPCRoute, and its ServiceProfile."""

from typing import Final

from sidecar.governance.documents.route_match import RouteMatch
from sidecar.governance.documents.units import Duration
from sidecar.migration.envoy_import import attempts_of, below_timeout
from sidecar.migration.field_reader import FieldReader
from sidecar.migration.foreign_document import ForeignValue, wrong
from sidecar.migration.foreign_duration import duration
from sidecar.migration.route_paths import exact_match, regex_match
from sidecar.migration.translation import ImportedDestination, ImportedRoute, Translation

DIALECT: Final = "linkerd"

_PREFIXES: Final = ("retry.linkerd.io/", "timeout.linkerd.io/", "balancer.linkerd.io/")
_DEFAULT_LIMIT: Final = 1
_DEFAULT_RATIO: Final = 0.2
_WRITE_METHODS: Final = frozenset({"POST", "PATCH"})
_CAREFUL_FAILURES: Final = 5


def has_linkerd(document: ForeignValue) -> bool:
    """Whether a document says something of Linkerd's that is imported."""
    kind = getattr(document.get("kind"), "text", None)
    version = getattr(document.get("apiVersion"), "text", None) or ""
    if kind == "ServiceProfile":
        return version.startswith("linkerd.io/")
    if kind in {"HTTPRoute", "GRPCRoute"} and version.startswith("policy.linkerd.io/"):
        return True
    return kind in {"HTTPRoute", "GRPCRoute", "Service"} and bool(_annotations(document))


def import_linkerd(documents: list[ForeignValue], translation: Translation) -> None:
    """Read all documents."""
    for document in documents:
        kind = getattr(document.get("kind"), "text", None)
        if kind == "ServiceProfile":
            _service_profile(document, translation)
        elif kind == "Service":
            name = document.at("metadata", "name")
            if name is not None and name.text:
                destination = _service(name, _namespace(document), None, translation)
                _annotated(document, destination, [None], translation, grpc=False)
        else:
            _route(document, translation, grpc=kind == "GRPCRoute")


def _annotations(document: ForeignValue) -> dict[str, ForeignValue]:
    found = document.at("metadata", "annotations")
    entries = {} if found is None else found.entries()
    return {key: value for key, value in entries.items() if key.startswith(_PREFIXES) and not value.is_null}


def _namespace(document: ForeignValue) -> str:
    found = document.at("metadata", "namespace")
    return "" if found is None or found.text is None else found.text


def _service(
    name: ForeignValue, namespace: str, port: ForeignValue | None, translation: Translation
) -> ImportedDestination:
    service = name.text or "unnamed"
    destination = translation.destination(service, name)
    address = f"{service}.{namespace}.svc" if namespace else service
    number = 80 if port is None or port.number is None else int(port.number)
    if port is not None or not destination.endpoints:
        destination.endpoints.setdefault(f"http://{address}:{number}", port or name)
    for host in (service, f"{service}.{namespace}" if namespace else service):
        destination.hosts.setdefault(host, name)
    return destination


def _route(document: ForeignValue, translation: Translation, *, grpc: bool) -> None:
    parents = document.at("spec", "parentRefs")
    rules = document.at("spec", "rules")
    listed = rules.items() if rules is not None else []
    for parent in parents.items() if parents is not None else []:
        kind, name = parent.get("kind"), parent.get("name")
        if name is None or not name.text or (kind is not None and kind.text != "Service"):
            translation.leave(parent, "only calls to a Service are imported")
            continue
        namespace = getattr(parent.get("namespace"), "text", None) or _namespace(document)
        destination = _service(name, namespace, parent.get("port"), translation)
        matches = _matches([] if grpc else listed, translation)
        if grpc and listed:
            translation.leave(listed[0], "gRPC methods are not told apart: the settings are the destination's")
        _annotated(document, destination, matches, translation, grpc=grpc)
        for rule in listed:
            _rule_timeouts(rule, destination, translation)


def _matches(rules: list[ForeignValue], translation: Translation) -> list[RouteMatch | None]:
    found: list[RouteMatch | None] = []
    for rule in rules:
        matches = rule.get("matches")
        for match in matches.items() if matches is not None else []:
            reader = FieldReader(match, translation)
            path, method = reader.take("path"), reader.take("method")
            methods = [method.text] if method is not None and method.text else []
            value = None if path is None else path.get("value")
            kind = (getattr(None if path is None else path.get("type"), "text", None)) or "PathPrefix"
            made = None
            if value is not None and value.text and kind == "Exact":
                made = exact_match(value.text, methods)
            elif value is not None and value.text and kind == "RegularExpression":
                made = regex_match(value.text, methods)
            if made is None and (methods or (value is not None and value.text not in {None, "/"})):
                translation.leave(match, "a route is for methods and one path: its settings are the destination's")
            reader.leave_rest({"headers": "a route is for methods and a path, not for headers"})
            if made not in found:
                found.append(made)
    return found or [None]


def _rule_timeouts(rule: ForeignValue, destination: ImportedDestination, translation: Translation) -> None:
    timeouts = rule.get("timeouts")
    if timeouts is not None:
        reader = FieldReader(timeouts, translation)
        whole, each = reader.duration("request"), reader.duration("backendRequest")
        if whole is not None and whole[0] > 0:
            translation.put(destination, "timeout", whole[0], whole[1])
        if each is not None and each[0] > 0:
            translation.put(destination, "per_attempt_timeout", each[0], each[1])
    retry = rule.get("retry")
    if retry is not None:
        translation.leave(retry, "the Gateway API's experimental retry is not imported: Linkerd reads annotations")


def _annotated(
    document: ForeignValue,
    destination: ImportedDestination,
    matches: list[RouteMatch | None],
    translation: Translation,
    *,
    grpc: bool,
) -> None:
    annotations = _annotations(document)
    name = getattr(document.at("metadata", "name"), "text", None)
    for match in matches:
        route = None
        if match is not None:
            route = translation.route(destination, match, name or "route", document)
        methods = match.methods if match is not None else []
        _settings(annotations, methods, destination, route, translation, grpc=grpc)


def _settings(
    annotations: dict[str, ForeignValue],
    methods: list[str],
    destination: ImportedDestination,
    route: ImportedRoute | None,
    translation: Translation,
    *,
    grpc: bool,
) -> None:
    left = dict(annotations)
    conditions = left.pop("retry.linkerd.io/http", None)
    on_grpc = left.pop("retry.linkerd.io/grpc", None)
    if on_grpc is not None:
        translation.leave(on_grpc, "a gRPC status is not a status of HTTP: it is not translated")
    if grpc and conditions is not None:
        translation.leave(conditions, "is not valid on a GRPCRoute")
        conditions = None
    if conditions is not None:
        _http_conditions(conditions, methods, destination, route, translation)
    limit = left.pop("retry.linkerd.io/limit", None)
    source = conditions or on_grpc
    if source is not None:
        retries = _DEFAULT_LIMIT
        if limit is not None:
            if limit.number is None or limit.number != int(limit.number) or limit.number < 0:
                translation.findings.append(wrong(limit, "must be a whole number from 0 on"))
                return
            retries = int(limit.number)
        attempts_of(retries + 1, limit or source, destination, route, translation, DIALECT)
        if retries:
            translation.warn(
                source, "no_budget", "Linkerd's annotations have no budget: every failure is retried up to the limit"
            )
            translation.warn(source, "no_backoff", "retries leave at once, without back-off or jitter")
    elif limit is not None:
        translation.leave(limit, "nothing is retried without retry.linkerd.io/http or grpc")
    each = _duration(left.pop("retry.linkerd.io/timeout", None), translation)
    whole = _duration(left.pop("timeout.linkerd.io/request", None), translation)
    response = _duration(left.pop("timeout.linkerd.io/response", None), translation)
    idle = _duration(left.pop("timeout.linkerd.io/idle", None), translation)
    for found, setting in ((whole, "timeout"), (each, "per_attempt_timeout"), (idle, "idle_timeout")):
        if found is not None and found[0] > 0:
            translation.put(destination, setting, found[0], found[1], route=route)
    if response is not None and whole is None:
        translation.put(destination, "timeout", response[0], response[1], route=route, why="of the response alone")
    elif response is not None:
        translation.leave(response[1], "timeout.linkerd.io/request is the whole exchange's")
    if each is not None and whole is not None:
        below_timeout(each, whole[0], translation)
    for key, value in left.items():
        _balancer(key, value, destination, translation)


def _balancer(key: str, value: ForeignValue, destination: ImportedDestination, translation: Translation) -> None:
    if key == "balancer.linkerd.io/failure-accrual-consecutive-max-failures" and value.number is not None:
        if value.number >= _CAREFUL_FAILURES:
            translation.put(
                destination,
                "breaker.consecutive_failures",
                int(value.number),
                value,
                why="counted for the destination as a whole; single endpoints are ejected by a detector of their own",
            )
            return
        translation.leave(value, "counts the failures of one endpoint, which is ejected here by itself")
    elif key.startswith("balancer."):
        translation.leave(value, "an ejected endpoint is probed by a detector of its own")
    else:
        translation.leave(value, "has no equal here")


def _http_conditions(
    value: ForeignValue,
    methods: list[str],
    destination: ImportedDestination,
    route: ImportedRoute | None,
    translation: Translation,
) -> None:
    statuses: set[int] = set()
    for word in (part.strip() for part in (value.text or "").split(",")):
        first, _, last = word.partition("-")
        if word == "5xx":
            statuses.update(range(500, 600))
        elif word == "gateway-error":
            statuses.update((502, 503, 504))
        elif first.isdecimal() and len(first) == 3 and (not last or (last.isdecimal() and len(last) == 3)):
            statuses.update(range(int(first), int(last or first) + 1))
        else:
            translation.findings.append(
                wrong(value, "must be statuses like 503, ranges like 500-504, 5xx or gateway-error, with commas")
            )
            return
    if 500 in statuses:
        translation.warn(
            value, "retries_500", "500 is retried: it says that the request failed, not that another would fare better"
        )
    wide = len(statuses) > 20
    kept = sorted(statuses & {429, 502, 503, 504}) if wide else sorted(statuses)
    why = "without 500 and others that no guardrail lets through" if wide else ""
    translation.put(destination, "retry.statuses", kept, value, route=route, why=why)
    _warn_of_writes(value, methods, translation)


def _warn_of_writes(source: ForeignValue, methods: list[str], translation: Translation) -> None:
    if not methods or _WRITE_METHODS & set(methods):
        translation.warn(
            source,
            "retries_writes",
            "POST and PATCH are retried too, after they may have been executed: a retry may charge twice; here writes "
            "are retried only with an Idempotency-Key that the destination honours",
        )


def _duration(value: ForeignValue | None, translation: Translation) -> tuple[Duration, ForeignValue] | None:
    if value is None:
        return None
    seconds = duration(value.text or "")
    if seconds is None:
        translation.findings.append(wrong(value, "must be a duration, like 250ms, 10s or 1m"))
        return None
    return seconds, value


def _service_profile(document: ForeignValue, translation: Translation) -> None:
    name = document.at("metadata", "name")
    spec = document.get("spec")
    if name is None or not name.text or spec is None:
        return
    labels = name.text.split(".")
    in_cluster = len(labels) > 2 and labels[2] == "svc"
    destination = translation.destination(labels[0] if in_cluster else name.text, name)
    if not destination.endpoints:
        address = ".".join(labels[:3]) if in_cluster else name.text
        destination.endpoints[f"http://{address}:80"] = name
    destination.hosts.setdefault(name.text, name)
    if in_cluster:
        destination.hosts.setdefault(labels[0], name)
        destination.hosts.setdefault(".".join(labels[:2]), name)
    retryable = False
    routes = spec.get("routes")
    for route in routes.items() if routes is not None else []:
        retryable |= _profile_route(route, destination, translation)
    budget = spec.get("retryBudget")
    if budget is not None:
        _profile_budget(budget, destination, translation)
    elif retryable:
        translation.put(
            destination, "budget.ratio", _DEFAULT_RATIO, name, why="Linkerd's default retryBudget: 0.2, and 10 a second"
        )
    overrides = spec.get("dstOverrides")
    if overrides is not None:
        translation.leave(overrides, "traffic is not split by weight")


def _profile_route(route: ForeignValue, destination: ImportedDestination, translation: Translation) -> bool:
    reader = FieldReader(route, translation)
    name, condition = reader.take("name"), reader.take("condition")
    retried, timeout = reader.boolean("isRetryable"), reader.duration("timeout")
    methods: list[str] = []
    match = None
    if condition is not None:
        fields = FieldReader(condition, translation)
        method, pattern = fields.take("method"), fields.take("pathRegex")
        methods = [method.text] if method is not None and method.text else []
        match = None if pattern is None or not pattern.text else regex_match(pattern.text, methods)
        if match is None:
            translation.leave(condition, "is no path of whole segments: its settings are the destination's")
        fields.leave_rest(dict.fromkeys(("all", "any", "not"), "a route is for methods and one path"))
    label = getattr(name, "text", None) or "route"
    imported = None if match is None else translation.route(destination, match, label, route)
    if timeout is not None and timeout[0] > 0:
        translation.put(destination, "timeout", timeout[0], timeout[1], route=imported)
    responses = reader.take("responseClasses")
    if responses is not None:
        translation.leave(responses, "what counts as a failure is retry.statuses and breaker.statuses")
    reader.leave_rest({})
    if retried is None:
        return False
    if not retried[0]:
        if imported is not None:
            translation.put(destination, "retry.max_attempts", 1, retried[1], route=imported)
        else:
            translation.leave(retried[1], "a path that is no template can not be kept from being retried alone")
        return False
    translation.put(
        destination,
        "retry.statuses",
        [502, 503, 504],
        retried[1],
        route=imported,
        why="Linkerd retries every 5xx, without limit but the budget",
    )
    translation.warn(
        retried[1], "retries_500", "500 is retried: it says that the request failed, not that another would fare better"
    )
    translation.warn(retried[1], "many_attempts", "attempts have no limit but the budget and the timeout")
    translation.warn(retried[1], "no_backoff", "retries leave at once, without back-off or jitter")
    _warn_of_writes(retried[1], methods, translation)
    most, _ = destination.attempts.get(DIALECT, (2, retried[1]))
    destination.attempts[DIALECT] = most, retried[1]
    return True


def _profile_budget(budget: ForeignValue, destination: ImportedDestination, translation: Translation) -> None:
    reader = FieldReader(budget, translation)
    ratio, least, ttl = reader.number("retryRatio"), reader.number("minRetriesPerSecond"), reader.duration("ttl")
    window = Duration(10)
    if ttl is not None:
        window = Duration(ttl[0] or 10)
        translation.put(destination, "budget.window", window, ttl[1])
    if ratio is not None:
        translation.put(destination, "budget.ratio", ratio[0], ratio[1])
        if ratio[0] > 0.2:
            share = f"{ratio[0] * 100:g} %"
            translation.warn(ratio[1], "large_budget", f"retries may add {share} to the load of a failing destination")
    if least is not None:
        free = round(least[0] * window)
        why = f"{least[0]:g} a second for {window} are {free} in a window"
        translation.put(destination, "budget.min_retries", free, least[1], why=why)
        if free > 10:
            translation.warn(
                least[1],
                "large_floor",
                f"every pod may retry {least[0]:g} times a second whatever the share: the floor multiplies by the pods",
            )
    reader.leave_rest({})
