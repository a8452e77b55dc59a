"""An AdmissionReview in, its answer out (admission.k8s.io/v1). Nothing is remembered, so a dry run is a run.

Whatever comes in is answered: a pod that can not have a sidecar is let through or refused, as the settings' `failure`
says, and what is no review at all is NotReviewable, for which the API server applies its failurePolicy.
"""

import base64
import json
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, NoReturn

from sidecar.governance.documents.finding import dotted
from sidecar.inject.patch import NoSuchPath, Plain, applied, json_patch
from sidecar.inject.pod import Injection, inject, uninject, workload_name
from sidecar.inject.settings import InjectionSettings

API_VERSION: Final = "admission.k8s.io/v1"
KIND: Final = "AdmissionReview"
_WARNING_CHARACTERS: Final = 256
"""API servers cut longer warnings."""
_WARNINGS: Final = 10
_REASONS: Final = 10
_TOLD_CHARACTERS: Final = 500


class AdmissionOutcome(Enum):
    """The outcome for a pod; the value of a label."""

    INJECTED = "injected"
    UNCHANGED = "unchanged"
    """It has the very sidecar that it would get."""
    SKIPPED = "skipped"
    """It is no pod that is created, or it has opted out."""
    PASSED = "passed"
    """It can not have a sidecar, and was let through without."""
    REFUSED = "refused"
    """It can not have a sidecar, and was refused."""


class NotReviewable(ValueError):
    """The body is no AdmissionReview that could be answered; the message is the rule it breaks."""


@dataclass(frozen=True, slots=True)
class AdmissionAnswer:
    """The AdmissionReview to send back, and what it says."""

    body: bytes
    admission: AdmissionOutcome
    subject: str
    """Namespace and name of the pod, as far as they are told."""
    reasons: tuple[str, ...] = ()


def review(content: bytes, settings: InjectionSettings) -> AdmissionAnswer:
    """AdmissionAnswer one AdmissionReview. Raises NotReviewable."""
    request = _request(content)
    uid = request["uid"]
    try:
        return _judged(request, uid, settings)
    except (RecursionError, NoSuchPath) as error:
        reason = "is nested too deep" if isinstance(error, RecursionError) else f"has no {error}"
        return _unfit(uid, "", (f"the pod {reason}",), settings)


def _request(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise NotReviewable(f"is not JSON: {error}") from None
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise NotReviewable(f"must be an {KIND}")
    if document.get("apiVersion") != API_VERSION:
        raise NotReviewable(f"must be of {API_VERSION}")
    request = document.get("request")
    if not isinstance(request, dict):
        raise NotReviewable("must have a request")
    uid = request.get("uid")
    if not isinstance(uid, str) or not uid:
        raise NotReviewable("must have a request.uid")
    return request


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _judged(request: dict[str, Any], uid: str, settings: InjectionSettings) -> AdmissionAnswer:
    kind, pod = request.get("kind"), request.get("object")
    is_pod = isinstance(kind, dict) and (kind.get("group"), kind.get("kind")) in (("", "Pod"), (None, "Pod"))
    if not is_pod or request.get("operation") != "CREATE" or request.get("subResource"):
        return _answer(uid, AdmissionOutcome.SKIPPED, "")
    subject = _subject(request, pod)
    before = uninject(pod)
    if before.problems:
        return _unfit(uid, subject, _reasons(before), settings)
    bare = applied(pod, before.operations)
    found = inject(bare, settings, name=workload_name(bare))
    if found.skipped is not None:
        return _answer(uid, AdmissionOutcome.SKIPPED, subject)
    if found.problems:
        return _unfit(uid, subject, _reasons(found), settings)
    operations = [*before.operations, *found.operations]
    if applied(bare, found.operations) == pod:
        return _answer(uid, AdmissionOutcome.UNCHANGED, subject, warnings=found.warnings)
    return _answer(uid, AdmissionOutcome.INJECTED, subject, patch=json_patch(pod, operations), warnings=found.warnings)


def _subject(request: dict[str, Any], pod: Plain) -> str:
    metadata = pod.get("metadata") if isinstance(pod, dict) else None
    named = metadata if isinstance(metadata, dict) else {}
    name = request.get("name") or named.get("name") or f"{named.get('generateName') or ''}?"
    return f"{request.get('namespace') or named.get('namespace') or '?'}/{name}"


def _reasons(found: Injection) -> tuple[str, ...]:
    return tuple(
        f"{dotted(problem.path)}: {problem.rule}{'' if problem.value is None else f', got {problem.value}'}"
        for problem in found.problems
    )


def _unfit(uid: str, subject: str, reasons: tuple[str, ...], settings: InjectionSettings) -> AdmissionAnswer:
    if settings.failure == "fail":
        status = {
            "status": "Failure",
            "reason": "Invalid",
            "code": 422,
            "message": "the sidecar can not be added: " + "; ".join(reasons),
        }
        return _answer(uid, AdmissionOutcome.REFUSED, subject, reasons=reasons, status=status)
    warnings = [f"no sidecar was added: {reason}" for reason in reasons]
    return _answer(uid, AdmissionOutcome.PASSED, subject, reasons=reasons, warnings=warnings)


def _answer(
    uid: str,
    admission: AdmissionOutcome,
    subject: str,
    *,
    patch: list[dict[str, Plain]] | None = None,
    warnings: list[str] | None = None,
    reasons: tuple[str, ...] = (),
    status: dict[str, Plain] | None = None,
) -> AdmissionAnswer:
    response: dict[str, Plain] = {"uid": uid, "allowed": status is None}
    if status is not None:
        response["status"] = status
    if patch:
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(json.dumps(patch, separators=(",", ":")).encode()).decode()
    if warnings:
        response["warnings"] = [warning[:_WARNING_CHARACTERS] for warning in warnings[:_WARNINGS]]
    body = json.dumps({"apiVersion": API_VERSION, "kind": KIND, "response": response}, separators=(",", ":"))
    return AdmissionAnswer(body.encode(), admission, _text(subject), tuple(map(_text, reasons[:_REASONS])))


def _text(said: str) -> str:
    """A pod's text in a form that can be logged: JSON may hold half of a surrogate pair, and any length."""
    return said[:_TOLD_CHARACTERS].encode("utf-8", "replace").decode()
