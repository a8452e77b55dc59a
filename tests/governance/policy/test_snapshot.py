import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from sidecar import __version__
from sidecar.engine.policy import BackoffPolicy, DestinationPolicy
from sidecar.governance.documents.document import read_policy
from sidecar.governance.documents.finding import InvalidDocument
from sidecar.governance.documents.limits import WireLimits
from sidecar.governance.documents.yaml import parse
from sidecar.governance.policy.guardrails import BASELINE_GUARDRAILS, read_guardrails
from sidecar.governance.policy.resolve import Origin, Source
from sidecar.governance.policy.snapshot import Snapshot, from_flags, load
from tests.fakes.documents import EXCEPTION, NOW, OVERRIDE, POLICY, SIDECAR, Loading

CONFIG = Path(__file__).resolve().parents[3] / "config"
OVERRIDES = SIDECAR + "    overrides:\n"
NAME_RULE = "must be a name of at most 63 of a-z, 0-9, '-' and '_', beginning with a letter or digit"
BOOLEAN_RULE = "must be true or false, or quoted: some readers take it for a boolean"
DURATION_RULE = "must be a duration with its unit, like 250ms, 2s, 1m or 24h"
SIZE_RULE = "must be a size with its unit, like 64KiB or 1MiB"
URL_RULE = "must be a URL like http://host:port or https://host, without path, query or user"
OCTAL_RULE = "must be quoted or lose its leading 0, which some readers take for octal"
FLOOR = "concurrency.min_in_flight (4, built in)"
BACKOFF_RULE = "retry.backoff.max (1s, built in) must be at least retry.backoff.base"
RANGE_RULE = "must be an IP address or a network, with or without port, like 169.254.169.254 or [fe80::1]:80"
HOST_RULE = "must be a host name or IP address, with or without port: letters, digits, '-', '_' and '.'"
CLAIMED_RULE = "must not claim a host that destinations.payments.endpoints at line 5 has"
LISTEN_RULE = "must not listen where admin.listen, by default, does (127.0.0.1:16000)"
ADDRESS_RULE = "must be an IP address and a port, like 127.0.0.1:16001 or [::1]:16001"
PAYMENTS = "destinations.payments"


# What is read


def test_both_documents_become_one_snapshot(loading: Loading) -> None:
    snapshot = loading(
        sidecar=SIDECAR
        + '    hosts: [pay]\n    listen: "127.0.0.1:16101"\n    idempotency_key: {honours: true, retention: 24h}\n'
        + "    overrides: {timeout: 3s}\ndrain: 5s\n",
        policy=POLICY
        + "destinations:\n  payments: {retry: {max_attempts: 2}, idempotency_key: {honours: true, retention: 24h}}\n",
    )

    payments = snapshot.destinations["payments"]
    assert (snapshot.version, snapshot.owner, snapshot.service, snapshot.drain) == (7, "platform", "checkout", 5.0)
    assert (payments.endpoints, payments.hosts) == (("http://payments:8080",), {"pay"})
    assert payments.listen == ("127.0.0.1:16101",)
    assert (payments.policy.timeout, payments.policy.retry.max_attempts) == (3.0, 2)
    assert (payments.policy.honours_keys, payments.policy.key_retention) == (True, 86400.0)
    assert snapshot.unlisted == DestinationPolicy()
    assert snapshot.warnings == ()


def test_every_number_says_where_it_is_from(loading: Loading) -> None:
    snapshot = loading(
        sidecar=OVERRIDES + "      timeout: 3s\n    idempotency_key: {retention: 24h}\n",
        policy=POLICY + "defaults: {idle_timeout: 9s}\ndestinations:\n  payments: {retry: {max_attempts: 2}}\n",
    )

    provenance = snapshot.destinations["payments"].provenance
    assert provenance["timeout"] == Origin("3s", Source.OVERRIDE, "sidecar.yaml", 7)
    assert provenance["retry.max_attempts"] == Origin("2", Source.PLATFORM, "policy.yaml", 5)
    assert provenance["idle_timeout"] == Origin("9s", Source.DEFAULT, "policy.yaml", 3)
    assert provenance["budget.ratio"] == Origin("0.1", Source.BASELINE, None, None)
    assert provenance["idempotency_key.retention"] == Origin("24h", Source.OVERRIDE, "sidecar.yaml", 8)


def test_the_digest_is_of_the_exact_bytes_of_both_files(loading: Loading) -> None:
    snapshot = loading()

    assert snapshot.digest == hashlib.sha256((SIDECAR + POLICY).encode()).hexdigest()
    assert snapshot.files == (Path("sidecar.yaml"), Path("policy.yaml"))


def test_a_snapshot_can_not_be_changed(loading: Loading) -> None:
    snapshot = loading()

    with pytest.raises(AttributeError):
        snapshot.version = 8  # type: ignore[misc]
    with pytest.raises(TypeError):
        snapshot.destinations["ledger"] = snapshot.destinations["payments"]  # type: ignore[index]


def test_the_policy_is_found_beside_the_sidecar_file(tmp_path: Path) -> None:
    (tmp_path / "fleet").mkdir()
    (tmp_path / "fleet" / "policy.yaml").write_text(POLICY, encoding="utf-8")
    (tmp_path / "sidecar.yaml").write_text(SIDECAR.replace("policy.yaml", "fleet/policy.yaml"), encoding="utf-8")

    assert load(tmp_path / "sidecar.yaml", NOW).version == 7


def test_without_a_policy_the_baseline_is_in_force_and_says_so(loading: Loading) -> None:
    snapshot = loading(sidecar=SIDECAR.replace("policy: {file: policy.yaml}\n", ""))

    assert (snapshot.version, snapshot.owner) == (0, "built in")
    assert snapshot.destinations["payments"].policy == DestinationPolicy()
    assert snapshot.warnings == ("no policy file is named: the compiled-in baseline is in force",)


def test_the_baseline_has_its_guardrails(loading: Loading) -> None:
    sidecar = OVERRIDES.replace("policy: {file: policy.yaml}\n", "") + "      budget: {ratio: 0.3}\n"

    assert refusal(loading, sidecar=sidecar) == [
        f"sidecar.yaml:6: {PAYMENTS}.overrides.budget.ratio: must be at most 0.2 (guardrail, built in), got 0.3"
    ]


def test_limits_are_the_platforms(loading: Loading) -> None:
    limits = "limits: {head_bytes: 32KiB, headers: 50, body_bytes: 1MiB, idle_timeout: 1m}\n"

    snapshot = loading(policy=POLICY + limits + "via: false\naccess_log: {sample: 0.5}\n")

    assert snapshot.limits == WireLimits(head_bytes=32768, headers=50, body_bytes=1 << 20, idle_timeout=60.0)
    assert (type(snapshot.limits.headers), type(snapshot.limits.idle_timeout)) == (int, float)
    assert (snapshot.via, snapshot.access_log_sample) == (False, 0.5)


def test_ingress_and_the_second_admin_listener_are_carried(loading: Loading) -> None:
    ingress = 'ingress: {listen: "0.0.0.0:16006", app: "http://127.0.0.1:8080"}\n'

    snapshot = loading(sidecar=SIDECAR + ingress + 'admin: {metrics_listen: "0.0.0.0:16002"}\n')

    assert snapshot.metrics_listen == "0.0.0.0:16002"
    assert snapshot.ingress is not None
    assert (snapshot.ingress.listen.port, snapshot.ingress.app.port) == (16006, 8080)


# Exceptions

BEFORE = datetime(2026, 11, 23, 23, 59, 59, 999999, UTC)
FIRST = datetime(2026, 11, 24, tzinfo=UTC)
LAST = datetime(2026, 12, 4, 23, 59, 59, 999999, UTC)
AFTER = datetime(2026, 12, 5, tzinfo=UTC)
SET_ASIDE = (
    "sidecar.yaml:7: destinations.payments.overrides.budget.ratio: 0.35 is set aside: exception EX-1 (policy.yaml:4)"
)
LEFT_OUT = (
    "sidecar.yaml:7: destinations.payments.overrides.budget.ratio: must be at most 0.2 (guardrail, built in); "
    "exception EX-1 (policy.yaml:4) expired on 2026-12-05, got 0.35"
)
EXCEPTED = {"sidecar": SIDECAR + OVERRIDE, "policy": POLICY + EXCEPTION}


def ratio(snapshot: Snapshot) -> float:
    return snapshot.destinations["payments"].policy.budget.ratio


def test_a_live_exception_lets_its_override_past_the_guardrail_and_is_named_as_the_origin(loading: Loading) -> None:
    snapshot = loading(**EXCEPTED)

    origin = snapshot.destinations["payments"].provenance["budget.ratio"]
    assert ratio(snapshot) == 0.35
    assert origin == Origin("0.35", Source.EXCEPTION, "sidecar.yaml", 7, "EX-1")
    assert snapshot.warnings == ()
    assert [grant.id for grant in snapshot.exceptions] == ["EX-1"]


def test_the_guardrail_snaps_back_at_the_instant_of_expiry_without_any_document_being_read(loading: Loading) -> None:
    snapshot = loading(**EXCEPTED)
    Path("sidecar.yaml").unlink()
    Path("policy.yaml").unlink()

    last, after = snapshot.at(LAST), snapshot.at(AFTER)

    assert last is snapshot
    assert ratio(after) == 0.1
    assert after.destinations["payments"].provenance["budget.ratio"].source is Source.BASELINE
    assert (after.version, after.digest, after.files) == (snapshot.version, snapshot.digest, snapshot.files)
    assert list(map(str, after.left_out["payments"])) == [LEFT_OUT]
    assert list(after.waiting) == []


def test_an_override_that_waits_for_its_exception_is_set_aside_until_the_instant_it_begins(loading: Loading) -> None:
    early = loading(**EXCEPTED, now=BEFORE)

    assert ratio(early) == 0.1
    assert list(map(str, early.waiting)) == [f"{SET_ASIDE} is not live before 2026-11-24; in force is 0.1"]
    assert early.left_out == {}
    assert ratio(early.at(FIRST)) == 0.35


def test_a_clock_that_is_set_back_brings_the_exception_back(loading: Loading) -> None:
    snapshot = loading(**EXCEPTED)

    assert ratio(snapshot.at(AFTER).at(LAST)) == 0.35
    assert set(snapshot.turns) == {FIRST, AFTER}


def test_what_else_the_team_asks_for_stays_when_its_exception_is_over(loading: Loading) -> None:
    sidecar = SIDECAR + "    overrides: {timeout: 3s, budget: {ratio: 0.35, burst: 1.5}}\n"

    payments = loading(sidecar=sidecar, policy=POLICY + EXCEPTION).at(AFTER).destinations["payments"]

    assert (payments.policy.timeout, payments.policy.budget.ratio, payments.policy.budget.burst) == (3.0, 0.1, 1.5)


def test_a_number_that_only_holds_beside_the_excepted_one_falls_with_it(loading: Loading) -> None:
    """retry.backoff.base 3s needs the excepted max of 4s: without it the engine would refuse the pair."""
    guardrail = "guardrails: {retry.backoff.max: {max: 2s}}\n"
    exception = EXCEPTION.replace("budget.ratio", "retry.backoff.max").replace("0.35", "4s")
    sidecar = SIDECAR + "    overrides: {retry: {backoff: {base: 3s, max: 4s}}}\n"

    snapshot = loading(sidecar=sidecar, policy=POLICY + guardrail + exception)
    after = snapshot.at(AFTER).destinations["payments"].policy.retry.backoff

    fresh = loading(sidecar=sidecar, policy=POLICY + guardrail + exception, now=AFTER)
    assert snapshot.destinations["payments"].policy.retry.backoff == BackoffPolicy(3.0, 4.0)
    assert after == fresh.destinations["payments"].policy.retry.backoff == BackoffPolicy()
    assert [finding.field.rpartition(".")[2] for finding in fresh.left_out["payments"]] == ["max", "base"]


def test_who_reads_the_documents_after_the_end_has_what_a_running_sidecar_has(loading: Loading) -> None:
    fresh, running = loading(**EXCEPTED, now=AFTER), loading(**EXCEPTED).at(AFTER)

    assert fresh.destinations["payments"].policy == running.destinations["payments"].policy
    assert fresh.left_out == running.left_out
    assert list(map(str, fresh.left_out["payments"])) == [LEFT_OUT]


@pytest.mark.parametrize("asked", [0.36, 5])
def test_what_goes_further_than_an_exception_ever_did_is_refused_when_it_is_over_too(
    loading: Loading, asked: float
) -> None:
    further = {**EXCEPTED, "sidecar": EXCEPTED["sidecar"].replace("0.35", str(asked))}

    assert refusal(loading, **further, now=AFTER) == [LEFT_OUT.replace("0.35", str(asked))]


def test_another_mistake_beside_an_ended_exception_is_refused_with_both_reasons(loading: Loading) -> None:
    sidecar = EXCEPTED["sidecar"] + "      retry: {max_attempts: 9}\n"

    assert [
        line.partition(": ")[0] for line in refusal(loading, sidecar=sidecar, policy=EXCEPTED["policy"], now=AFTER)
    ] == [
        "sidecar.yaml:7",
        "sidecar.yaml:8",
    ]


def test_an_ended_exception_is_for_the_way_to_the_service_what_it_is_for_destinations(loading: Loading) -> None:
    ingress = 'ingress: {listen: "0.0.0.0:16006", app: "http://127.0.0.1:8080", overrides: {budget: {ratio: 0.35}}}\n'
    policy = POLICY + EXCEPTION.replace("destination: payments", "destination: ingress")

    snapshot = loading(sidecar=SIDECAR + ingress, policy=policy)
    after = snapshot.at(AFTER)

    assert (snapshot.ingress.policy.budget.ratio, after.ingress.policy.budget.ratio) == (0.35, 0.1)
    assert list(after.left_out) == ["ingress"]


def test_after_expiry_the_platforms_own_number_is_in_force(loading: Loading) -> None:
    policy = POLICY + "destinations:\n  payments: {budget: {ratio: 0.05}}\n" + EXCEPTION

    after = loading(sidecar=SIDECAR + OVERRIDE, policy=policy).at(AFTER)

    assert ratio(after) == 0.05
    assert after.destinations["payments"].provenance["budget.ratio"].source is Source.PLATFORM


def test_the_platform_is_bound_by_its_own_guardrails_whatever_exceptions_say(loading: Loading) -> None:
    policy = POLICY + "destinations:\n  payments: {budget: {ratio: 0.35}}\n" + EXCEPTION

    assert refusal(loading, policy=policy) == [
        "policy.yaml:4: destinations.payments.budget.ratio: must be at most 0.2 (guardrail, built in), got 0.35"
    ]


def test_exceptions_of_other_services_are_none_of_ours(loading: Loading) -> None:
    snapshot = loading(policy=POLICY + EXCEPTION.replace("checkout", "billing"))

    assert snapshot.exceptions == ()
    assert list(snapshot.turns) == []


# The shipped examples


@pytest.mark.parametrize("name", sorted(path.name for path in CONFIG.glob("sidecar*.yaml")))
def test_every_shipped_sidecar_file_is_valid_with_its_policy(name: str) -> None:
    snapshot = load(CONFIG / name, NOW)

    assert snapshot.destinations
    assert snapshot.warnings == ()


def test_every_shipped_policy_is_named_by_a_shipped_sidecar_file() -> None:
    named = {load(path, NOW).files[1].name for path in CONFIG.glob("sidecar*.yaml")}

    assert named == {path.name for path in CONFIG.glob("policy*.yaml")}


def test_the_shipped_policy_is_the_compiled_in_baseline() -> None:
    file = CONFIG / "policy.yaml"
    tree = parse(file.read_bytes(), str(file))
    policy = read_policy(tree, [])
    assert policy is not None

    snapshot = load(CONFIG / "sidecar.yaml", NOW)
    bounds = read_guardrails(policy.guardrails, tree, [])

    assert snapshot.unlisted == DestinationPolicy()
    assert snapshot.limits == WireLimits()
    assert (snapshot.via, snapshot.access_log_sample) == (True, 0.0)
    assert policy.guardrails.keys() == BASELINE_GUARDRAILS.keys()
    for setting, bound in bounds.items():
        assert replace(bound, place="built in") == BASELINE_GUARDRAILS[setting]


def test_the_shipped_policy_leaves_no_number_unsaid() -> None:
    snapshot = load(CONFIG / "sidecar.yaml", NOW)

    sources = {origin.source for origin in snapshot.unlisted_provenance.values()}

    assert sources == {Source.DEFAULT}


def test_the_policy_for_money_is_tighter_than_the_baseline() -> None:
    money, baseline = load(CONFIG / "sidecar-money.yaml", NOW).unlisted, DestinationPolicy()

    assert money.retry.max_attempts < baseline.retry.max_attempts
    assert money.retry.statuses < baseline.retry.statuses
    assert money.budget.ratio < baseline.budget.ratio
    assert money.budget.min_retries < baseline.budget.min_retries
    assert money.breaker.failure_ratio < baseline.breaker.failure_ratio


# Who says that keys are honoured


HONOURED = "destinations:\n  payments: {idempotency_key: {honours: true, retention: 24h}}\n"
KEY = SIDECAR + "    idempotency_key: "


def test_a_team_alone_does_not_unlock_retries_of_writes(loading: Loading) -> None:
    with pytest.raises(InvalidDocument) as caught:
        loading(sidecar=KEY + "{honours: true, retention: 24h}\n")

    path = "sidecar.yaml:6: destinations.payments.idempotency_key.honours:"
    assert str(caught.value) == f"{path} must be only false (guardrail, built in), got true"


@pytest.mark.parametrize("said", ["{honours: true, retention: 24h}", "{honours: true}", "{retention: 24h}"])
def test_a_team_may_repeat_what_the_platform_says(loading: Loading, said: str) -> None:
    payments = loading(sidecar=KEY + said + "\n", policy=POLICY + HONOURED).destinations["payments"]

    assert (payments.policy.honours_keys, payments.policy.key_retention) == (True, 86400.0)


def test_a_team_may_promise_less_than_the_platform_and_not_more(loading: Loading) -> None:
    careful = loading(sidecar=KEY + "{honours: false}\n", policy=POLICY + HONOURED).destinations["payments"]
    shorter = loading(sidecar=KEY + "{retention: 1h}\n", policy=POLICY + HONOURED).destinations["payments"]
    with pytest.raises(InvalidDocument) as caught:
        loading(sidecar=KEY + "{retention: 25h}\n", policy=POLICY + HONOURED)

    assert not careful.policy.honours_keys
    assert shorter.policy.key_retention == 3600.0
    path = "sidecar.yaml:6: destinations.payments.idempotency_key.retention:"
    assert str(caught.value) == f'{path} must be at most 24h (guardrail, policy.yaml:4), got "25h"'


@pytest.mark.parametrize("said", ["", ", retention: 24h"])
def test_keys_are_not_trusted_for_longer_than_the_api_of_a_preset_keeps_them(loading: Loading, said: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        loading(policy=POLICY + HONOURED, sidecar=KEY + f"{{preset: qonto{said}}}\n")

    path = f"sidecar.yaml:6: destinations.payments.idempotency_key.{'retention' if said else 'preset'}:"
    place = "sidecar.yaml:6" if said else "policy.yaml:4"
    rule = f"idempotency_key.retention must be at most the 30m for which qonto keeps keys ({place})"
    assert str(caught.value) == f'{path} {rule}, got "24h"'


@pytest.mark.parametrize("key", ["{preset: stripe}", "{preset: square}", "{preset: qonto, retention: 30m}"])
def test_a_preset_goes_with_a_retention_that_is_short_enough_or_not_published(loading: Loading, key: str) -> None:
    assert loading(policy=POLICY + HONOURED, sidecar=KEY + key + "\n").destinations["payments"].policy.honours_keys


def test_an_exception_lets_a_team_say_that_keys_are_honoured(loading: Loading) -> None:
    exception = EXCEPTION.replace("budget.ratio", "idempotency_key.honours").replace("0.35", "true")

    payments = loading(sidecar=KEY + "{honours: true, retention: 24h}\n", policy=POLICY + exception)

    origin = payments.destinations["payments"].provenance["idempotency_key.honours"]
    assert payments.destinations["payments"].policy.honours_keys
    assert (origin.source, origin.exception) == (Source.EXCEPTION, "EX-1")


def test_keys_are_honoured_for_a_time_that_is_said(loading: Loading) -> None:
    with pytest.raises(InvalidDocument) as caught:
        loading(policy=POLICY + "destinations:\n  payments: {idempotency_key: {honours: true}}\n")

    rule = "must be over 0s where idempotency_key.honours is true: how long keys are kept"
    field = "destinations.payments.idempotency_key.honours"
    assert str(caught.value) == f"policy.yaml:4: {field}: idempotency_key.retention (0s, built in) {rule}, got true"


def test_nobody_says_of_every_destination_that_it_honours_keys(loading: Loading) -> None:
    with pytest.raises(InvalidDocument, match=r"defaults\.idempotency_key\.honours: must be only false"):
        loading(policy=POLICY + "defaults: {idempotency_key: {honours: true, retention: 24h}}\n")


@pytest.mark.parametrize("statuses", ["[400, 401, 503]", "[408, 503]", "[500]", "[501]"])
def test_only_answers_that_may_be_better_next_time_are_retried(loading: Loading, statuses: str) -> None:
    with pytest.raises(InvalidDocument, match=r"retry\.statuses.*: must be only 429, 502, 503, 504 \(guardrail"):
        loading(sidecar=f"{SIDECAR}    overrides: {{retry: {{statuses: {statuses}}}}}\n")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 451])
def test_no_guardrail_lets_a_request_that_is_wrong_be_sent_again(loading: Loading, status: int) -> None:
    lifted = (
        f"guardrails:\n  retry.statuses: {{only: [503, {status}]}}\ndefaults: {{retry: {{statuses: [{status}]}}}}\n"
    )

    with pytest.raises(InvalidDocument, match=r"must be 408, 425, 429 or 5xx"):
        loading(policy=POLICY + lifted)


# What is refused


def refusal(loading: Loading, **documents: Any) -> list[str]:
    with pytest.raises(InvalidDocument) as caught:
        loading(**documents)
    return str(caught.value).splitlines()


WRONG_SIDECAR_FILES = {
    "an unknown key": (
        SIDECAR + "    overides: {}\n",
        [f"6: {PAYMENTS}.overides: is not known; did you mean overrides?"],
    ),
    "a key given twice": (
        OVERRIDES + "      budget:\n        ratio: 0.1\n        ratio: 0.2\n",
        [f"9: {PAYMENTS}.overrides.budget.ratio: must not be given twice; line 8 has it already"],
    ),
    "a duration without a unit": (
        OVERRIDES + "      timeout: 3\n",
        [f"7: {PAYMENTS}.overrides.timeout: {DURATION_RULE}, got 3"],
    ),
    "a duration with a space": (
        OVERRIDES + "      timeout: 3 s\n",
        [f'7: {PAYMENTS}.overrides.timeout: {DURATION_RULE}, got "3 s"'],
    ),
    "a size without a unit": (
        OVERRIDES + "      retry: {replay_buffer: 64}\n",
        [f"7: {PAYMENTS}.overrides.retry.replay_buffer: {SIZE_RULE}, got 64"],
    ),
    "a timeout of nothing": (
        OVERRIDES + "      timeout: 0s\n",
        [f'7: {PAYMENTS}.overrides.timeout: must be over 0s and at most 1h, got "0s"'],
    ),
    "a budget over the guardrail": (
        OVERRIDES + "      budget: {ratio: 5}\n",
        [f"7: {PAYMENTS}.overrides.budget.ratio: must be at most 0.2 (guardrail, built in), got 5"],
    ),
    "attempts over the guardrail": (
        OVERRIDES + "      retry: {max_attempts: 5}\n",
        [f"7: {PAYMENTS}.overrides.retry.max_attempts: must be at most 4 (guardrail, built in), got 5"],
    ),
    "attempts that are no whole number": (
        OVERRIDES + "      retry: {max_attempts: 3.0}\n",
        [f"7: {PAYMENTS}.overrides.retry.max_attempts: must be a whole number, got 3.0"],
    ),
    "a status that is no failure": (
        OVERRIDES + "      retry:\n        statuses:\n          - 503\n          - 200\n",
        [f"10: {PAYMENTS}.overrides.retry.statuses[1]: must be only 429, 502, 503, 504 (guardrail, built in), got 200"],
    ),
    "a fault that is never retried": (
        OVERRIDES + "      retry: {faults: [protocol]}\n",
        [f'7: {PAYMENTS}.overrides.retry.faults[0]: must be connect_failure, reset or timeout, got "protocol"'],
    ),
    "a method that is not idempotent": (
        OVERRIDES + "      retry: {methods: [GET, POST]}\n",
        [f'7: {PAYMENTS}.overrides.retry.methods[1]: must be idempotent, got "POST"'],
    ),
    "methods by a word that is not known": (
        OVERRIDES + "      retry: {methods: all}\n",
        [f'7: {PAYMENTS}.overrides.retry.methods: must be idempotent or a list, got "all"'],
    ),
    "a back-off below the floor": (
        OVERRIDES + "      retry: {backoff: {base: 0.5ms}}\n",
        [f'7: {PAYMENTS}.overrides.retry.backoff.base: must be between 1ms and 1m, got "0.5ms"'],
    ),
    "a back-off over its inherited maximum": (
        OVERRIDES + "      retry: {backoff: {base: 2s}}\n",
        [f'7: {PAYMENTS}.overrides.retry.backoff.base: {BACKOFF_RULE}, got "2s"'],
    ),
    "no jitter": (
        OVERRIDES + "      retry: {backoff: {jitter: none}}\n",
        [f'7: {PAYMENTS}.overrides.retry.backoff.jitter: must be full, got "none"'],
    ),
    "a boolean of YAML 1.1": (
        OVERRIDES + "      retry: {retry_after: {honour: yes}}\n",
        [f"7: {PAYMENTS}.overrides.retry.retry_after.honour: {BOOLEAN_RULE}, got yes"],
    ),
    "an octal number": (
        OVERRIDES + "      breaker: {min_requests: 010}\n",
        [f"7: {PAYMENTS}.overrides.breaker.min_requests: {OCTAL_RULE}, got 010"],
    ),
    "a breaker that counts a status that is no failure": (
        OVERRIDES + "      breaker: {statuses: [429]}\n",
        [f"7: {PAYMENTS}.overrides.breaker.statuses[0]: must be 5xx, got 429"],
    ),
    "a limit kind that is not known": (
        OVERRIDES + "      concurrency: {limit: automatic}\n",
        [f'7: {PAYMENTS}.overrides.concurrency.limit: must be adaptive or fixed, got "automatic"'],
    ),
    "fewer at most than at least": (
        OVERRIDES + "      concurrency: {max_in_flight: 2}\n",
        [f"7: {PAYMENTS}.overrides.concurrency.max_in_flight: must be at least {FLOOR}, got 2"],
    ),
    "a section left empty": (
        OVERRIDES + "      budget:\n",
        [f"7: {PAYMENTS}.overrides.budget: must be a mapping, got null"],
    ),
    "no service": ("policy: {file: policy.yaml}\n", ["1: service: is required"]),
    "an endpoint with a path": (
        SIDECAR.replace("8080", "8080/api"),
        [f'5: {PAYMENTS}.endpoints[0]: {URL_RULE}, got "http://payments:8080/api"'],
    ),
    "no endpoint": (
        SIDECAR.replace('"http://payments:8080"', ""),
        [f"5: {PAYMENTS}.endpoints: must have 1 or more entries, got []"],
    ),
    "a name in capitals": (
        SIDECAR.replace("  payments:", "  Payments:"),
        [f'4: destinations.Payments: {NAME_RULE}, got "Payments"'],
    ),
    "a host with its scheme": (
        SIDECAR + '    hosts: ["http://payments"]\n',
        [f'6: {PAYMENTS}.hosts[0]: {HOST_RULE}, got "http://payments"'],
    ),
    "a host with a port that there is not": (
        SIDECAR + '    hosts: ["payments:0"]\n',
        [f'6: {PAYMENTS}.hosts[0]: must have a port between 1 and 65535, got "payments:0"'],
    ),
    "an address to be allowed that is none": (
        'egress: {allow: ["metadata.internal"]}\n' + SIDECAR,
        [f'1: egress.allow[0]: {RANGE_RULE}, got "metadata.internal"'],
    ),
    "a network to be allowed with bits of a host": (
        'egress: {allow: ["169.254.1.1/16"]}\n' + SIDECAR,
        [f'1: egress.allow[0]: {RANGE_RULE}, got "169.254.1.1/16"'],
    ),
    "a host of two destinations": (
        SIDECAR + '  ledger:\n    endpoints: ["http://ledger:1"]\n    hosts: [payments]\n',
        [f'8: destinations.ledger.hosts: {CLAIMED_RULE}, got "payments"'],
    ),
    "a port listened on twice": (
        SIDECAR + '    listen: "127.0.0.1:16000"\n',
        [f'6: {PAYMENTS}.listen: {LISTEN_RULE}, got "127.0.0.1:16000"'],
    ),
    "a name to listen on": (
        SIDECAR + '    listen: "localhost:16101"\n',
        [f'6: {PAYMENTS}.listen: {ADDRESS_RULE}, got "localhost:16101"'],
    ),
    "a word for unlisted that is not known": (
        SIDECAR + "egress: {unlisted: allow}\n",
        ['6: egress.unlisted: must be forward or refuse, got "allow"'],
    ),
    "an ingress without its service": (
        SIDECAR + 'ingress: {listen: "0.0.0.0:16006"}\n',
        ["6: ingress.app: is required"],
    ),
    "several faults at once": (
        "drain: 25\n" + OVERRIDES + "      retry: {max_attempts: 5}\n      budget: {ratio: 0.3, windw: 5s}\n",
        [
            f"1: drain: {DURATION_RULE}, got 25",
            f"8: {PAYMENTS}.overrides.retry.max_attempts: must be at most 4 (guardrail, built in), got 5",
            f"9: {PAYMENTS}.overrides.budget.windw: is not known; did you mean window?",
            f"9: {PAYMENTS}.overrides.budget.ratio: must be at most 0.2 (guardrail, built in), got 0.3",
        ],
    ),
}

WRONG_POLICIES = {
    "no version": ("owner: platform\n", ["1: version: is required"]),
    "a version that is text": ('version: "7"\nowner: platform\n', ['1: version: must be a whole number, got "7"']),
    "a version below 1": (
        "version: 0\nowner: platform\n",
        ["1: version: must be between 1 and 9007199254740991, got 0"],
    ),
    "an owner without a name": ('version: 1\nowner: ""\n', ['2: owner: must not be empty, got ""']),
    "an unknown section": (POLICY + "default: {}\n", ["3: default: is not known; did you mean defaults?"]),
    "defaults over the engine's ceiling": (
        POLICY + "guardrails: {budget.ratio: {max: 9}}\ndefaults:\n  budget:\n    ratio: 5\n",
        ["6: defaults.budget.ratio: must be between 0 and 1.0, got 5"],
    ),
    "defaults over their own guardrail": (
        POLICY + "defaults: {budget: {ratio: 0.15}}\nguardrails:\n  budget.ratio: {max: 0.1}\n",
        ["3: defaults.budget.ratio: must be at most 0.1 (guardrail, policy.yaml:5), got 0.15"],
    ),
    "a guardrail that leaves out the built-in number": (
        POLICY + "guardrails:\n  budget.ratio: {max: 0.05}\n",
        ["4: guardrails.budget.ratio: leaves out what is built in: set defaults.budget.ratio too, got 0.1"],
    ),
    "a guardrail on nothing": (
        POLICY + "guardrails:\n  budget.ration: {max: 0.2}\n",
        ["4: guardrails.budget.ration: is not known; did you mean budget.ratio?"],
    ),
    "a destination of the platform over a guardrail": (
        POLICY + "destinations:\n  ledger: {retry: {max_attempts: 5}}\n",
        ["4: destinations.ledger.retry.max_attempts: must be at most 4 (guardrail, built in), got 5"],
    ),
    "the reserved name": (
        POLICY + "destinations: {unlisted: {}}\n",
        ["3: destinations.unlisted: is a reserved name: what no destination names has `defaults`"],
    ),
    "a limit out of range": (
        POLICY + "limits: {headers: 0}\n",
        ["3: limits.headers: must be between 1 and 10000, got 0"],
    ),
    "a head too small for its target": (
        POLICY + "limits: {head_bytes: 8KiB}\n",
        ['3: limits.head_bytes: target_bytes must be between 256B and head_bytes, got "8KiB"'],
    ),
    "a bare off": (POLICY + "limits: {body_bytes: off}\n", [f"3: limits.body_bytes: {BOOLEAN_RULE}, got off"]),
    "a share over one": (
        POLICY + "access_log: {sample: 2}\n",
        ["3: access_log.sample: must be between 0 and 1, got 2"],
    ),
    "an exception without end": (
        POLICY
        + "exceptions:\n  - id: EX-1\n    service: checkout\n    destination: ledger\n    setting: budget.ratio\n"
        + "    value: 0.35\n    reason: Month-end batch with headroom\n    ticket: P-1\n    owner: a\n"
        + "    approved_by: [b]\n    not_before: 2026-11-24\n",
        ["4: exceptions[0].expires: is required"],
    ),
    "two documents": (POLICY + "---\n" + POLICY, ["3: must hold one document, not several"]),
}


@pytest.mark.parametrize("case", WRONG_SIDECAR_FILES)
def test_a_wrong_sidecar_file_is_told_by_line_field_rule_and_value(loading: Loading, case: str) -> None:
    document, findings = WRONG_SIDECAR_FILES[case]

    assert refusal(loading, sidecar=document) == [f"sidecar.yaml:{finding}" for finding in findings]


@pytest.mark.parametrize("case", WRONG_POLICIES)
def test_a_wrong_policy_is_told_by_line_field_rule_and_value(loading: Loading, case: str) -> None:
    document, findings = WRONG_POLICIES[case]

    assert refusal(loading, policy=document) == [f"policy.yaml:{finding}" for finding in findings]


def test_what_is_wrong_in_both_files_is_told_together(loading: Loading) -> None:
    findings = refusal(loading, sidecar=SIDECAR + "drain: 2\n", policy=POLICY + "via: 1\n")

    assert findings == [
        "policy.yaml:3: via: must be true or false, got 1",
        f"sidecar.yaml:6: drain: {DURATION_RULE}, got 2",
    ]


def test_a_policy_that_is_not_there_is_told_in_one_line(loading: Loading) -> None:
    findings = refusal(loading, sidecar=SIDECAR.replace("policy.yaml", "none.yaml"))

    assert findings == ["none.yaml: can not be read: No such file or directory"]


def test_a_folder_is_not_a_document(tmp_path: Path) -> None:
    with pytest.raises(InvalidDocument) as caught:
        load(tmp_path, NOW)

    assert str(caught.value) == f"{tmp_path}: can not be read: Is a directory"


def test_bytes_that_are_not_utf_8_are_told(loading: Loading) -> None:
    assert refusal(loading, policy=b"owner: caf\xe9\n") == ["policy.yaml:1: must be UTF-8, got byte 0xe9"]


# Without a file


def flags(
    *upstreams: str, service: str = "checkout", listen: str | None = None, policy: Path | None = None
) -> Snapshot:
    return from_flags(service, upstreams, listen, policy, NOW)


def test_one_upstream_has_the_egress_ports_to_itself() -> None:
    snapshot = flags("payments=http://127.0.0.1:9001")

    assert snapshot.destinations["payments"].listen == ("127.0.0.1:16001", "[::1]:16001")
    assert snapshot.destinations["payments"].hosts == {"payments", "127.0.0.1", "127.0.0.1:9001"}
    assert snapshot.egress.listen == ()
    assert (snapshot.admin, snapshot.service, snapshot.version) == ("127.0.0.1:16000", "checkout", 0)


def test_one_upstream_has_the_listener_that_is_given() -> None:
    snapshot = flags("payments=http://127.0.0.1:9001", listen="127.0.0.1:7000")

    assert snapshot.destinations["payments"].listen == ("127.0.0.1:7000",)


def test_several_upstreams_share_the_listener() -> None:
    snapshot = flags("payments=http://p:1", "ledger=https://l", listen="127.0.0.1:7000")

    assert snapshot.egress.listen == ("127.0.0.1:7000",)
    assert [destination.listen for destination in snapshot.destinations.values()] == [(), ()]
    assert snapshot.destinations["ledger"].hosts == {"ledger", "l", "l:443"}


def test_an_upstream_given_twice_has_two_endpoints() -> None:
    snapshot = flags("payments=http://a:1", "payments=http://b:2")

    assert snapshot.destinations["payments"].endpoints == ("http://a:1", "http://b:2")


def test_upstreams_on_one_machine_are_told_apart_by_name_and_by_port() -> None:
    snapshot = flags("payments=http://127.0.0.1:1", "ledger=http://127.0.0.1:2")

    assert snapshot.destinations["payments"].hosts == {"payments", "127.0.0.1:1"}
    assert snapshot.destinations["ledger"].hosts == {"ledger", "127.0.0.1:2"}
    assert snapshot.warnings[0] == (
        "several destinations have an endpoint at 127.0.0.1: only with its port does it lead to one of them"
    )


def test_upstreams_with_one_endpoint_are_told_apart_by_name() -> None:
    snapshot = flags("payments=http://127.0.0.1:1", "ledger=http://127.0.0.1:1")

    assert snapshot.destinations["payments"].hosts == {"payments"}
    assert snapshot.destinations["ledger"].hosts == {"ledger"}
    assert snapshot.warnings[0] == "several destinations have the endpoint 127.0.0.1:1: it leads to none of them"


def test_an_upstream_at_a_link_local_address_calls_for_a_file_that_allows_it() -> None:
    with pytest.raises(InvalidDocument, match="must not be link-local"):
        flags("metadata=http://169.254.169.254")


def test_flags_may_name_a_policy() -> None:
    snapshot = flags("payments=http://a:1", policy=CONFIG / "policy.yaml")

    assert snapshot.version == 7
    assert snapshot.files == (CONFIG / "policy.yaml",)
    assert snapshot.digest == hashlib.sha256((CONFIG / "policy.yaml").read_bytes()).hexdigest()
    assert snapshot.warnings == ()


@pytest.mark.parametrize(
    ("upstreams", "listen", "finding"),
    [
        ((), None, "--upstream: must be given at least once"),
        (("payments",), None, '--upstream: must be name=url, got "payments"'),
        (("payments=ftp://a",), None, f'--upstream: destinations.payments.endpoints[0]: {URL_RULE}, got "ftp://a"'),
        (("A=http://a",), None, f'--upstream: destinations.A: {NAME_RULE}, got "A"'),
        (
            ("unlisted=http://a",),
            None,
            "--upstream: destinations.unlisted: is a reserved name: give the destination another",
        ),
        (
            ("a=http://a", "a=http://a:80"),
            None,
            '--upstream: destinations.a.endpoints[1]: must not be named twice, got "http://a:80"',
        ),
        (
            ("a=http://127.0.0.1:16001",),
            None,
            (
                "--upstream: destinations.a.endpoints: must not be the sidecar itself,"
                ' which listens there (egress.listen), got "http://127.0.0.1:16001"'
            ),
        ),
        (
            ("a=http://a",),
            "7000",
            (
                "--listen: egress.listen[0]: must be an IP address and a port, like 127.0.0.1:16001 or [::1]:16001,"
                ' got "7000"'
            ),
        ),
        (
            ("a=http://a",),
            "0.0.0.0:16000",
            (
                "--listen: egress.listen: must not listen where admin.listen, by default, does (127.0.0.1:16000),"
                ' got "0.0.0.0:16000"'
            ),
        ),
    ],
)
def test_a_wrong_flag_is_told_by_its_name(upstreams: tuple[str, ...], listen: str | None, finding: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        flags(*upstreams, listen=listen)

    assert str(caught.value).splitlines()[0] == finding


def test_a_wrong_service_and_a_missing_policy_are_told_together() -> None:
    with pytest.raises(InvalidDocument) as caught:
        flags("a=http://a", service="check out", policy=Path("none.yaml"))

    assert str(caught.value).splitlines() == [
        "--service: service: must be a name of at most 253 letters, digits, '.', '_', '/' and '-', got \"check out\"",
        "none.yaml: can not be read: No such file or directory",
    ]


# The oldest sidecar that does all the policy says


@pytest.mark.parametrize(("asked", "outdated"), [("0.0.1", False), (__version__, False), ("99.0.0", True)])
def test_a_sidecar_that_is_too_old_for_its_policy_follows_it_and_warns(
    loading: Loading, asked: str, *, outdated: bool
) -> None:
    snapshot = loading(sidecar=SIDECAR, policy=f'{POLICY}min_sidecar: "{asked}"\n')

    warning = f"the policy asks for sidecar {asked} or newer (min_sidecar), and this one is {__version__}: upgrade it"
    assert snapshot.version == 7
    assert snapshot.outdated is outdated
    assert snapshot.warnings == ((warning,) if outdated else ())


def test_a_version_that_is_none_is_told_with_its_line(loading: Loading) -> None:
    with pytest.raises(
        InvalidDocument, match=r'min_sidecar: must be a version of three numbers in quotes, like "0\.2\.0"'
    ):
        loading(sidecar=SIDECAR, policy=f"{POLICY}min_sidecar: 0.2\n")
