"""A review is answered by what `sidecar inject` would do to the same pod, and anything else is answered, too."""

import base64
import copy
import json
from typing import Any

import jsonpatch
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.inject.admission import AdmissionAnswer, AdmissionOutcome, NotReviewable, review
from sidecar.inject.manifest import inject_manifest
from sidecar.inject.settings import DEFAULTS, InjectionSettings
from tests.fakes.kubernetes import assert_valid
from tests.inject.manifests import Object, block, pod, workload

FAIL = InjectionSettings(failure="fail")
PLAIN = InjectionSettings(native=False)


def request(made: Any, **changes: Any) -> Object:
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "operation": "CREATE",
            "namespace": "shop",
            "object": made,
            **changes,
        },
    }


def answered(document: Any, chosen: InjectionSettings = DEFAULTS) -> tuple[AdmissionAnswer, Object]:
    answer = review(json.dumps(document).encode(), chosen)
    body = json.loads(answer.body)
    assert body["apiVersion"] == "admission.k8s.io/v1"
    assert body["kind"] == "AdmissionReview"
    response: Object = body["response"]
    assert response["uid"] == document["request"]["uid"]
    return answer, response


def patched(made: Object, response: Object) -> Object:
    assert response["patchType"] == "JSONPatch"
    document: Object = jsonpatch.apply_patch(made, json.loads(base64.b64decode(response["patch"])))
    return document


def sparse_pods() -> list[Object]:
    bare: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a"},
        "spec": {"containers": [{"name": "app"}]},
    }
    proxied = copy.deepcopy(bare)
    proxied["metadata"]["annotations"] = {"sidecar.io/http-proxy": "enabled"}
    return [bare, proxied, workload("Pod"), workload("Pod", pod(initContainers=[{"name": "i"}], volumes=[]))]


@pytest.mark.parametrize("chosen", [DEFAULTS, PLAIN, InjectionSettings(authority="fleet")])
@pytest.mark.parametrize("made", sparse_pods())
def test_the_patch_applies_and_gives_what_inject_gives(made: Object, chosen: InjectionSettings) -> None:
    answer, response = answered(request(made), chosen)

    result = patched(made, response)

    by_hand = yaml.safe_load(inject_manifest(block(made).encode(), "pod.yaml", chosen).text)
    assert answer.admission is AdmissionOutcome.INJECTED
    assert response["allowed"] is True
    assert result == by_hand
    assert_valid([result] if made["spec"]["containers"][0].get("image") else [])


def test_a_pod_that_has_it_already_is_left_alone_and_one_of_another_version_gets_it_anew() -> None:
    made = workload("Pod")
    _, first = answered(request(made))
    injected = patched(made, first)

    again, response = answered(request(injected))
    anew, other = answered(request(injected), InjectionSettings(image="retry-sidecar:9"))

    assert again.admission is AdmissionOutcome.UNCHANGED
    assert response == {"uid": response["uid"], "allowed": True}
    assert anew.admission is AdmissionOutcome.INJECTED
    assert patched(injected, other)["spec"]["initContainers"][0]["image"] == "retry-sidecar:9"
    assert len(patched(injected, other)["spec"]["initContainers"]) == 1


def test_a_dry_run_is_answered_alike() -> None:
    made = workload("Pod")

    assert answered(request(made, dryRun=True))[1] == answered(request(made, dryRun=False))[1]


@pytest.mark.parametrize(
    "changes",
    [
        {"operation": "UPDATE"},
        {"operation": "DELETE", "object": None},
        {"operation": "CONNECT"},
        {"kind": {"group": "apps", "version": "v1", "kind": "Deployment"}},
        {"kind": {"group": "example.com", "version": "v1", "kind": "Pod"}},
        {"kind": None},
        {"subResource": "ephemeralcontainers"},
    ],
)
def test_what_is_no_pod_being_created_is_let_through(changes: Object) -> None:
    answer, response = answered(request(workload("Pod"), **changes), FAIL)

    assert answer.admission is AdmissionOutcome.SKIPPED
    assert response == {"uid": response["uid"], "allowed": True}


def test_a_pod_that_opted_out_is_let_through_without() -> None:
    made = workload("Pod")
    made["metadata"]["labels"]["sidecar.io/inject"] = "disabled"

    assert answered(request(made))[0].admission is AdmissionOutcome.SKIPPED


def test_a_pod_that_can_not_have_one_is_let_through_with_a_warning_or_refused_as_the_settings_say() -> None:
    made = workload("Pod", pod(hostNetwork=True))

    passed, ignoring = answered(request(made))
    refused, failing = answered(request(made), FAIL)

    rule = "spec.hostNetwork: does not go with a sidecar"
    assert passed.admission is AdmissionOutcome.PASSED
    assert ignoring["allowed"] is True
    assert "patch" not in ignoring
    assert ignoring["warnings"][0].startswith(f"no sidecar was added: {rule}")
    assert refused.admission is AdmissionOutcome.REFUSED
    assert refused.subject == "shop/checkout"
    assert failing["allowed"] is False
    assert failing["status"]["code"] == 422
    assert rule in failing["status"]["message"]


@pytest.mark.parametrize("restart", ["Never", "OnFailure"])
def test_a_pod_that_is_to_end_is_not_given_a_container_that_never_ends(restart: str) -> None:
    made = workload("Pod")
    made["spec"]["restartPolicy"] = restart

    assert answered(request(made), PLAIN)[0].admission is AdmissionOutcome.PASSED
    assert answered(request(made), DEFAULTS)[0].admission is AdmissionOutcome.INJECTED


def test_the_service_is_called_by_the_deployment_that_the_pod_is_of() -> None:
    made = workload("Pod")
    made["metadata"] = {
        "generateName": "till-7d9f8c-",
        "labels": {"pod-template-hash": "7d9f8c"},
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "till-7d9f8c"}],
    }

    _, response = answered(request(made))

    env = patched(made, response)["spec"]["initContainers"][0]["env"]
    assert {"name": "SIDECAR_SERVICE", "value": "till"} in env


def test_warnings_are_as_short_and_as_few_as_api_servers_take_them() -> None:
    made = workload("Pod")
    made["metadata"]["annotations"] = {f"sidecar.io/{'x' * 300}{number}": "1" for number in range(20)}

    _, response = answered(request(made))

    assert len(response["warnings"]) == 10
    assert all(len(warning) <= 256 for warning in response["warnings"])


def test_a_name_that_is_no_text_is_answered_in_a_pod_that_has_a_sidecar_already() -> None:
    made = patched(workload("Pod"), answered(request(workload("Pod")))[1])
    made["spec"]["volumes"][0]["name"] = ["retry-sidecar-config"]

    assert answered(request(made))[0].admission is AdmissionOutcome.PASSED


def test_what_is_said_of_a_pod_can_be_logged_whatever_it_is_called() -> None:
    """Half of a surrogate pair in a name was an error of the log, and a 500."""
    made = workload("Pod", pod(hostNetwork=True))
    made["metadata"]["name"] = "\ud800" * 3 + "x" * 10_000
    made["metadata"]["annotations"] = {f"sidecar.io/\udfff{number}": "1" for number in range(100)}

    answer, _ = answered(request(made))

    assert answer.admission is AdmissionOutcome.PASSED
    assert len(answer.reasons) == 10
    assert all(len(text.encode()) <= 1500 for text in (answer.subject, *answer.reasons))


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"NaN", "is not JSON"),
        (b'{"kind": NaN}', "NaN is no number of JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"1" * 10_000, "is not JSON"),
        (b"null", "must be an AdmissionReview"),
        (b"[]", "must be an AdmissionReview"),
        (b'{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1"}', "must be of admission.k8s.io/v1"),
        (b'{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}', "must have a request"),
        (b'{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{}}', "must have a request.uid"),
        (
            b'{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":5}}',
            "must have a request.uid",
        ),
    ],
)
def test_what_is_no_review_is_told_by_its_rule(content: bytes, rule: str) -> None:
    with pytest.raises(NotReviewable, match=rule):
        review(content, DEFAULTS)


def deep(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth):
        value = {"a": value}
    return value


def test_a_pod_that_is_nested_too_deep_is_answered() -> None:
    made = workload("Pod")
    text = json.dumps(request(made)).replace('"Always"', '{"a":' * 900 + "1" + "}" * 900)

    answer = review(text.encode(), FAIL)

    assert answer.admission in (AdmissionOutcome.REFUSED, AdmissionOutcome.INJECTED)


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["retry-sidecar", "PAYMENTS_URL"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "env", "value", "containerPort", "ports", "labels"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)
PLACES = (
    ("metadata",),
    ("metadata", "labels"),
    ("metadata", "annotations"),
    ("metadata", "ownerReferences"),
    ("metadata", "name"),
    ("metadata", "generateName"),
    ("metadata", "annotations", "sidecar.io/env"),
    ("metadata", "annotations", "sidecar.io/injected"),
    ("metadata", "labels", "app"),
    ("metadata", "labels", "pod-template-hash"),
    ("spec",),
    ("spec", "os"),
    ("spec", "containers"),
    ("spec", "containers", 0),
    ("spec", "containers", 0, "name"),
    ("spec", "containers", 0, "env"),
    ("spec", "containers", 0, "env", 0),
    ("spec", "containers", 0, "env", 0, "name"),
    ("spec", "containers", 0, "env", 0, "value"),
    ("spec", "containers", 0, "ports"),
    ("spec", "initContainers"),
    ("spec", "volumes"),
    ("spec", "volumes", 0),
    ("spec", "volumes", 0, "name"),
    ("spec", "initContainers", 0),
    ("spec", "initContainers", 0, "name"),
    ("spec", "restartPolicy"),
    ("spec", "terminationGracePeriodSeconds"),
    ("spec", "hostNetwork"),
)


@given(
    place=st.sampled_from(PLACES),
    value=ANYTHING,
    already=st.booleans(),
    chosen=st.sampled_from([DEFAULTS, FAIL, PLAIN]),
)
@settings(max_examples=400, deadline=None)
def test_whatever_stands_anywhere_in_a_pod_is_answered_and_a_patch_applies(
    place: tuple[Any, ...], value: Any, already: bool, chosen: InjectionSettings
) -> None:
    made = workload("Pod", pod(volumes=[{"name": "v"}], initContainers=[{"name": "i"}]))
    if already:
        made = patched(made, answered(request(made))[1])
    around: Any = made
    for step in place[:-1]:
        around = around[step]
    around[place[-1]] = value

    answer, response = answered(request(made), chosen)

    assert response["allowed"] is (answer.admission is not AdmissionOutcome.REFUSED)
    if "patch" in response:
        result = patched(made, response)
        names = [each.get("name") for key in ("initContainers", "containers") for each in result["spec"].get(key) or []]
        assert names.count("retry-sidecar") == 1


WORDS = st.sampled_from(["uid", "kind", "request", "object", "apiVersion", "operation"])
ANY_JSON = st.recursive(
    st.none() | st.text(max_size=5) | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(WORDS, inner)
)


@given(document=ANY_JSON)
@settings(max_examples=50, deadline=None)
def test_any_json_that_is_no_review_is_told(document: Any) -> None:
    with pytest.raises(NotReviewable, match="must"):
        review(json.dumps(document).encode(), DEFAULTS)
