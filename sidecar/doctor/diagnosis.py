"""Diagnoses: one line for each check that is fine, and for each finding what it is, why it matters, and its cure.

Each finding has a word that stays the same: tools count by it, and docs/troubleshooting.md has it as an anchor.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Check(StrEnum):
    """The parts of an examination, in the order in which they are told."""

    CONFIG = "config"
    POLICY = "policy"
    PORTS = "ports"
    REACHABILITY = "reachability"
    CLOCK = "clock"
    PERMISSIONS = "permissions"
    STORE = "store"
    INTERCEPTION = "interception"
    RUNNING = "running"


class Mark(StrEnum):
    """The result of a check. Only `TROUBLE` changes the exit code; `UNJUDGED` says why nothing could be said."""

    FINE = "fine"
    NOTE = "note"
    UNJUDGED = "unjudged"
    TROUBLE = "trouble"


@dataclass(frozen=True, slots=True)
class Complaint:
    """A kind of finding. `why` is one sentence, the same wherever it is found."""

    check: Check
    mark: Mark
    why: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One line of the doctor's. `word`, `why` and `cure` are empty where nothing was found."""

    check: Check
    mark: Mark
    what: str
    word: str = ""
    why: str = ""
    cure: str = ""


def found(word: str, what: str, cure: str) -> Diagnosis:
    """A finding by its word, one of WORDS."""
    complaint = WORDS[word]
    return Diagnosis(complaint.check, complaint.mark, what, word, complaint.why, cure)


def fine(check: Check, what: str) -> Diagnosis:
    """Nothing is wrong there."""
    return Diagnosis(check, Mark.FINE, what)


def unjudged(check: Check, what: str, cure: str = "") -> Diagnosis:
    """It can not be said from here; `cure` is what would make it possible."""
    return Diagnosis(check, Mark.UNJUDGED, what, cure=cure)


def _complaints(check: Check, mark: Mark, **words: str) -> dict[str, Complaint]:
    return {word: Complaint(check, mark, why) for word, why in words.items()}


WORDS: Final = {
    **_complaints(
        Check.CONFIG,
        Mark.TROUBLE,
        config_invalid="`sidecar run` refuses these documents with exit code 2, so that nothing is governed.",
    ),
    **_complaints(
        Check.CONFIG, Mark.NOTE, config_warns="The sidecar starts, and a setting works otherwise than one may think."
    ),
    **_complaints(
        Check.POLICY,
        Mark.TROUBLE,
        policy_refused="A sidecar that runs keeps the last good policy; one that starts has the last good copy or the "
        "built-in policy, and not the platform's.",
        policy_unreachable="No policy can be had: what is in force is the last good copy, or the built-in policy.",
        policy_rollback="A version below the highest one seen is refused, so that older rules are not played back.",
        policy_expired="Its owners wanted it replaced by now; the sidecar follows it and warns.",
        sidecar_outdated="The policy says things that this version does not do; it follows what it knows.",
        override_left_out="The number that the team asked for is not in force: the exception it needs is over.",
        cache_spoiled="After a restart without a policy source the built-in policy would be in force, and the highest "
        "version seen is forgotten.",
    ),
    **_complaints(
        Check.POLICY,
        Mark.NOTE,
        policy_built_in="Without a policy of the platform's the defaults hold, and no document changes them for all.",
        policy_unsigned="Who can write to the policy's source governs the fleet.",
        policy_unmanaged="The service's own file says whose policy governs it, and may name another one.",
        policy_expires="After that the sidecar follows it and warns.",
        policy_held="The source offers a version that is not in force in this pod.",
        policy_without_cache="A restart while the address does not answer is under the built-in policy.",
    ),
    **_complaints(
        Check.PORTS,
        Mark.TROUBLE,
        port_taken="The sidecar does not start where it can not listen, and callers reach another program.",
        port_forbidden="The sidecar does not start where it may not listen.",
        address_absent="The sidecar does not start where it can not listen.",
    ),
    **_complaints(Check.PORTS, Mark.NOTE, ipv6_absent="Callers that use ::1 find no one; the sidecar starts without."),
    **_complaints(
        Check.REACHABILITY,
        Mark.TROUBLE,
        dns_failed="Requests are answered 502 or 503 with the reason `connect_failure`.",
        connect_refused="Requests are answered 502 or 503 with the reason `connect_failure`, and breakers open.",
        connect_timeout="Requests wait for the time-out of connecting, and breakers open.",
        tls_failed="Requests are answered 502 with that reason, and it fails each time until it is mended.",
    ),
    **_complaints(
        Check.CLOCK,
        Mark.TROUBLE,
        clock_off="Certificates, exceptions and the life of a policy are judged by this clock.",
        certificate_expired="Handshakes with it fail.",
        certificate_pending="Handshakes with it fail until then, unless it is this clock that is wrong.",
    ),
    **_complaints(
        Check.CLOCK,
        Mark.NOTE,
        clock_disagrees="One server's clock differs from this one while others agree with it.",
        certificate_expires="Handshakes with it fail from then on.",
        exception_pending="The number that the team asked for is not in force yet.",
    ),
    **_complaints(
        Check.PERMISSIONS,
        Mark.TROUBLE,
        file_unusable="The sidecar does not start without it, or keeps what it read last.",
        cache_unwritable="The last good policy is not kept: a restart without the policy's source is under the "
        "built-in one.",
        store_unwritable="No idempotency key can be claimed, and the routes that need one refuse (503).",
    ),
    **_complaints(
        Check.PERMISSIONS,
        Mark.NOTE,
        open_files_low="Callers beyond it wait in the kernel's queue although `limits.connections` has room for them.",
        token_none="No change through the admin plane is accepted: no reload, no word about a key.",  # noqa: S106 - a word
        token_exposed="Who can read the token can reload policies and resolve idempotency keys.",  # noqa: S106 - a word
        key_exposed="Who can read a private key can speak in its name.",
    ),
    **_complaints(
        Check.STORE,
        Mark.TROUBLE,
        store_unfit="The sidecar does not start with a store that would lose keys.",
        store_unreachable="No idempotency key can be claimed, and the routes that need one refuse (503).",
    ),
    **_complaints(
        Check.STORE,
        Mark.NOTE,
        store_embedded="A key that one pod has seen runs again on another, should there ever be several.",
    ),
    **_complaints(
        Check.INTERCEPTION,
        Mark.TROUBLE,
        rules_missing="Calls go past the sidecar: nothing redirects them to it.",
        rules_without_listener="Calls are redirected to a port on which no sidecar listens, and fail.",
        rules_uid="The sidecar's own calls come back to it, and are answered 508 `loop`.",
    ),
    **_complaints(
        Check.RUNNING,
        Mark.TROUBLE,
        sidecar_not_ready="Kubernetes sends no requests to a pod that is not ready.",
        policy_not_taken="The policy that was offered last is not in force.",
        bypassed="Calls that go past the sidecar have no budget, no breaker and no idempotency key.",
        destination_degraded="Callers of this destination are refused or fail now.",
    ),
    **_complaints(
        Check.RUNNING,
        Mark.NOTE,
        sidecar_warns="The sidecar serves, and warns its operator.",
        version_differs="What is examined here is not quite what runs.",
    ),
}
"""Every kind of finding, by its word."""
