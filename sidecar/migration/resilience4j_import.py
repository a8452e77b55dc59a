"""resilience4j's instances in Spring's application YAML: retry, circuitbreaker, timelimiter, bulkhead.

An instance inherits from its `baseConfig`, else from `configs.default`, and that from the library's own defaults. The
aspects nest as Retry(CircuitBreaker(RateLimiter(TimeLimiter(Bulkhead(call))))): the time limit is one attempt's.
"""

from collections.abc import Iterator
from typing import Final

from sidecar.governance.documents.units import Duration
from sidecar.migration.envoy_import import attempts_of
from sidecar.migration.field_reader import FieldReader
from sidecar.migration.foreign_document import ForeignValue, canonical, wrong
from sidecar.migration.translation import ImportedDestination, Translation

DIALECT: Final = "resilience4j"

_MODULES: Final = ("retry", "circuitbreaker", "timelimiter", "bulkhead", "thread-pool-bulkhead", "ratelimiter")
_DEFAULT_ATTEMPTS: Final = 3
_DEFAULT_WAIT: Final = Duration(0.5)

_NOT_OURS: Final = {
    "registerhealthindicator",
    "allowhealthindicatortofail",
    "eventconsumerbuffersize",
    "baseconfig",
    "writablestacktraceenabled",
}
"""Says how the library shows itself, not how calls are made."""

_FAULT_EXCEPTIONS: Final = {
    "ConnectException": ["connect_failure"],
    "UnknownHostException": ["connect_failure"],
    "SocketTimeoutException": ["timeout"],
    "TimeoutException": ["timeout"],
    "HttpTimeoutException": ["timeout"],
    "SocketException": ["connect_failure", "reset"],
    "IOException": ["connect_failure", "reset", "timeout"],
    "ResourceAccessException": ["connect_failure", "reset", "timeout"],
    "WebClientRequestException": ["connect_failure", "reset", "timeout"],
    "RetryableException": ["connect_failure", "reset", "timeout"],
}
_STATUS_EXCEPTIONS: Final = {
    "BadGateway": [502],
    "ServiceUnavailable": [503],
    "GatewayTimeout": [504],
    "TooManyRequests": [429],
    "HttpServerErrorException": [500, 502, 503, 504],
    "WebClientResponseException": [500, 502, 503, 504],
    "InternalServerError": [500],
    "FeignServerException": [500, 502, 503, 504],
}
_EVERYTHING: Final = {"Exception", "Throwable", "RuntimeException", "HttpClientErrorException", "RestClientException"}

_RETRY_REASONS: Final = {
    "ignoreexceptions": "what is retried is said by statuses and faults: all others are delivered as they are",
    "resultpredicate": "is code: name the statuses",
    "retryexceptionpredicate": "is code: name the statuses and faults",
    "intervalbifunction": "is code: the wait is retry.backoff",
    "failaftermaxattempts": "the last answer is delivered as it is, always",
    "randomizedwaitfactor": "jitter is full, always",
}
_BREAKER_REASONS: Final = {
    "waitdurationinopenstate": "an open breaker probes after breaker.open (250ms), one request per pod: a longer wait "
    "only delays the recovery",
    "maxwaitdurationinhalfopenstate": "a probe that gets no answer opens the breaker again after per_attempt_timeout",
    "automatictransitionfromopentohalfopenenabled": "is so always",
    "recordexceptions": "breaker.statuses and faults are what counts",
    "ignoreexceptions": "breaker.statuses and faults are what counts",
    "recordfailurepredicate": "is code: breaker.statuses are what counts",
    "slowcallratethreshold": "slowness is judged by concurrency.limit adaptive, not by the breaker",
    "slowcalldurationthreshold": "slowness is judged by concurrency.limit adaptive, not by the breaker",
    "enableexponentialbackoff": "breaker.open doubles with each trip, up to breaker.max_open",
    "exponentialbackoffmultiplier": "breaker.open doubles with each trip, up to breaker.max_open",
    "exponentialmaxwaitdurationinopenstate": "breaker.max_open is 250ms: see breaker.open",
    "enablerandomizedwait": "breaker.open is jittered by 20 %, always",
    "randomizedwaitfactor": "breaker.open is jittered by 20 %, always",
}


def has_resilience4j(document: ForeignValue) -> bool:
    """Whether a document configures resilience4j."""
    return any(key == "resilience4j" or key.startswith("resilience4j.") for key in document.entries())


def import_resilience4j(documents: list[ForeignValue], translation: Translation) -> None:
    """Read all documents. The profiles of one application are imported as if they were in force together."""
    for document in documents:
        for module, value in _modules(document):
            configs, instances = value.get("configs"), value.get("instances", "backends")
            shared = {} if configs is None else configs.entries()
            for name, instance in ({} if instances is None else instances.entries()).items():
                destination = translation.destination(name, instance)
                reader = _Inherited(instance, shared, translation)
                match module:
                    case "retry":
                        _retry(reader, destination, translation)
                    case "circuitbreaker":
                        _breaker(reader, destination, translation)
                    case "timelimiter":
                        _time_limit(reader, destination, translation)
                    case "bulkhead":
                        _bulkhead(reader, destination, translation)
                    case _:
                        translation.leave(instance, f"{module} has no equal here")
            if instances is None:
                translation.leave(value, "has no instances: configs alone govern no call")


def _modules(document: ForeignValue) -> Iterator[tuple[str, ForeignValue]]:
    """The modules, under `resilience4j:` or written with dots, as Spring reads both."""
    known = {canonical(module): module for module in _MODULES}
    for key, value in document.entries().items():
        if key == "resilience4j":
            for word, module in value.entries().items():
                head, *rest = word.split(".")
                if canonical(head) in known and not rest:
                    yield known[canonical(head)], module
        elif key.startswith("resilience4j.") and canonical(key.split(".", 1)[1]) in known:
            yield known[canonical(key.split(".", 1)[1])], value


class _Inherited:
    """The fields of an instance, those it inherits included: the nearest one that gives a field counts."""

    def __init__(self, instance: ForeignValue, configs: dict[str, ForeignValue], translation: Translation) -> None:
        self.instance = instance
        self._translation = translation
        chain = [instance] if not instance.is_null else []
        base = instance.get("baseConfig")
        seen: set[str] = set()
        while base is not None and base.text is not None and base.text not in seen:
            seen.add(base.text)
            config = configs.get(base.text)
            if config is None:
                translation.findings.append(wrong(base, "must name one of configs"))
                break
            chain.append(config)
            base = config.get("baseConfig")
        if "default" in configs and "default" not in seen:
            chain.append(configs["default"])
        self._readers = [FieldReader(part, translation, spring=True) for part in chain]

    def take(self, name: str) -> ForeignValue | None:
        found = [reader.take(name) for reader in self._readers]
        return next((value for value in found if value is not None), None)

    def whole(self, name: str) -> tuple[int, ForeignValue] | None:
        found = [reader.whole(name) for reader in self._readers]
        return next((value for value in found if value is not None), None)

    def number(self, name: str) -> tuple[float, ForeignValue] | None:
        found = [reader.number(name) for reader in self._readers]
        return next((value for value in found if value is not None), None)

    def boolean(self, name: str) -> tuple[bool, ForeignValue] | None:
        found = [reader.boolean(name) for reader in self._readers]
        return next((value for value in found if value is not None), None)

    def duration(self, name: str) -> tuple[Duration, ForeignValue] | None:
        found = [reader.duration(name) for reader in self._readers]
        return next((value for value in found if value is not None), None)

    def leave_rest(self, reasons: dict[str, str]) -> None:
        for reader in self._readers:
            reader.ignore(*_NOT_OURS)
            reader.leave_rest(reasons)


def _retry(reader: _Inherited, destination: ImportedDestination, translation: Translation) -> None:
    instance = reader.instance
    attempts = reader.whole("maxAttempts") or reader.whole("maxRetryAttempts")
    count, source = (_DEFAULT_ATTEMPTS, instance) if attempts is None else attempts
    attempts_of(max(count, 1), source, destination, None, translation, DIALECT)
    _wait(reader, destination, translation)
    _exceptions(reader, destination, translation)
    if count > 1:
        translation.warn(instance, "no_budget", "resilience4j has no retry budget: every failed call is retried")
        translation.warn(
            instance,
            "retries_writes",
            "the annotated method is called again whatever it sends: a POST too; here writes are retried only with an "
            "Idempotency-Key that the destination honours",
        )
        translation.warn(
            instance,
            "ignores_retry_after",
            "Retry-After is ignored: the wait is the application's; here it is honoured",
        )
    reader.leave_rest(_RETRY_REASONS)


def _wait(reader: _Inherited, destination: ImportedDestination, translation: Translation) -> None:
    wait = reader.duration("waitDuration")
    exponential, random = reader.boolean("enableExponentialBackoff"), reader.boolean("enableRandomizedWait")
    multiplier = reader.number("exponentialBackoffMultiplier")
    longest = reader.duration("exponentialMaxWaitDuration")
    base, source = (_DEFAULT_WAIT, reader.instance) if wait is None else wait
    grows = exponential is not None and exponential[0]
    translation.put(destination, "retry.backoff.base", base, source)
    if longest is not None and grows:
        translation.put(destination, "retry.backoff.max", longest[0], longest[1])
    elif not grows:
        translation.warn(source, "fixed_delay", f"each retry waits {base}: the delay does not grow with each failure")
    if random is None or not random[0]:
        translation.warn(source, "no_jitter", "no jitter: callers that failed together retry together")
    if multiplier is not None and grows and multiplier[0] != 2:
        translation.leave(multiplier[1], "the wait doubles with each retry")


def _exceptions(reader: _Inherited, destination: ImportedDestination, translation: Translation) -> None:
    listed = reader.take("retryExceptions")
    if listed is None:
        translation.warn(
            reader.instance,
            "retries_everything",
            "without retryExceptions every exception is retried, 400 and 500 included; here 429 and 503 are",
        )
        return
    statuses: set[int] = set()
    faults: set[str] = set()
    names = listed.items() or [listed]
    for item in names:
        for word in (item.text or "").split(","):
            name = word.strip().replace("$", ".").rsplit(".", 1)[-1]
            if name in _EVERYTHING:
                translation.warn(
                    item, "retries_everything", f"{name} is an answer of 4xx too, or a mistake of the caller"
                )
                statuses.update((502, 503, 504))
                faults.update(("connect_failure", "reset", "timeout"))
            elif name in _FAULT_EXCEPTIONS:
                faults.update(_FAULT_EXCEPTIONS[name])
            elif name in _STATUS_EXCEPTIONS:
                statuses.update(_STATUS_EXCEPTIONS[name])
                if 500 in _STATUS_EXCEPTIONS[name]:
                    translation.warn(
                        item,
                        "retries_500",
                        f"{name} is 500 too: it says that the request failed, not that another would fare better",
                    )
            else:
                translation.leave(item, f"{name or 'it'} is the application's own: name its status or fault")
    why = "without 500" if 500 in statuses else ""
    translation.put(destination, "retry.statuses", sorted(statuses - {500}), listed, why=why)
    translation.put(destination, "retry.faults", sorted(faults), listed)


def _breaker(reader: _Inherited, destination: ImportedDestination, translation: Translation) -> None:
    share = reader.number("failureRateThreshold")
    if share is not None:
        translation.put(destination, "breaker.failure_ratio", round(share[0] / 100, 4), share[1])
    least = reader.whole("minimumNumberOfCalls")
    if least is not None:
        translation.put(destination, "breaker.min_requests", least[0], least[1])
    size, kind = reader.whole("slidingWindowSize"), reader.take("slidingWindowType")
    if size is not None and kind is not None and (kind.text or "").upper() == "TIME_BASED":
        translation.put(destination, "breaker.window", Duration(size[0]), size[1])
    elif size is not None:
        translation.leave(size[1], "counts calls: breaker.window is a time, 10s unless it is said")
    probes = reader.whole("permittedNumberOfCallsInHalfOpenState")
    if probes is not None:
        translation.put(destination, "breaker.probes", probes[0], probes[1])
    reader.leave_rest(_BREAKER_REASONS)


def _time_limit(reader: _Inherited, destination: ImportedDestination, translation: Translation) -> None:
    limit = reader.duration("timeoutDuration")
    if limit is not None and limit[0] > 0:
        translation.put(destination, "per_attempt_timeout", limit[0], limit[1])
    reader.leave_rest(
        {"cancelrunningfuture": "a late attempt is left running: its answer may still come, and its retry is beside it"}
    )


def _bulkhead(reader: _Inherited, destination: ImportedDestination, translation: Translation) -> None:
    most = reader.whole("maxConcurrentCalls")
    if most is not None:
        translation.put(destination, "concurrency.max_in_flight", most[0], most[1])
    reader.leave_rest(
        {"maxwaitduration": "a request over the limit waits as long as its deadline can still use a place"}
    )
