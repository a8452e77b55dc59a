"""A manifest gets the sidecar in every pod, once, and is what it was when it is taken out again: byte for byte."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.governance.documents.finding import InvalidDocument
from sidecar.inject.manifest import inject_manifest, uninject_manifest
from sidecar.inject.settings import DEFAULTS, InjectionSettings
from tests.fakes.kubernetes import assert_valid, unrestricted
from tests.inject.manifests import COMMENTED, KINDS, STYLES, block, compact, flow, pod, pretty, template_of, workload

Object = dict[str, Any]
PLAIN = InjectionSettings(native=False)
EVERYTHING = {
    "sidecar.io/env": "PAYMENTS_URL=payments",
    "sidecar.io/upstreams": "ledger=http://ledger:8080 ledger=http://ledger-2:8080",
    "sidecar.io/http-proxy": "enabled",
    "sidecar.io/ingress-app": "http://127.0.0.1:8080",
    "sidecar.io/service": "till",
    "sidecar.io/mode": "observe",
    "sidecar.io/drain-timeout": "10s",
    "sidecar.io/memory-limit": "256Mi",
    "sidecar.io/image": "registry.internal/retry-sidecar@sha256:0",
    "sidecar.io/log-level": "warning",
}


def put_in(text: str, chosen: InjectionSettings = DEFAULTS) -> str:
    return inject_manifest(text.encode(), "m.yaml", chosen).text


def taken_out(text: str) -> str:
    return uninject_manifest(text.encode(), "m.yaml").text


def refusal(text: str, chosen: InjectionSettings = DEFAULTS) -> list[str]:
    with pytest.raises(InvalidDocument) as raised:
        inject_manifest(text.encode(), "m.yaml", chosen)
    return [str(finding) for finding in raised.value.findings]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("everything", [False, True])
def test_every_kind_in_every_style_gets_one_sidecar_that_kubernetes_takes(
    kind: str, style: Any, everything: bool
) -> None:
    template = pod()
    if everything:
        template["metadata"]["annotations"] = dict(EVERYTHING)
    text = style(workload(kind, template))

    injected = put_in(text)

    document = yaml.safe_load(injected)
    spec = template_of(document)["spec"]
    sidecar = spec["initContainers"][0]
    port = 16102 if everything else 16101
    assert sidecar["name"] == "retry-sidecar"
    assert sidecar["restartPolicy"] == "Always"
    assert [each["name"] for each in spec["containers"]] == ["app"]
    assert spec["containers"][0]["env"][0]["value"] == f"http://127.0.0.1:{port}/v1"
    assert unrestricted({**spec, "containers": [sidecar], "initContainers": []}) == []
    assert_valid([document])
    assert put_in(injected) == injected
    assert taken_out(injected) == text


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "Job" not in kind])
def test_a_container_beside_the_others_comes_first_and_ends_last(kind: str) -> None:
    text = block(workload(kind))

    document = yaml.safe_load(put_in(text, PLAIN))

    containers = template_of(document)["spec"]["containers"]
    assert [each["name"] for each in containers] == ["retry-sidecar", "app"]
    assert "restartPolicy" not in containers[0]
    assert containers[0]["lifecycle"]["preStop"] == {"exec": {"command": ["sleep", "5"]}}
    assert "sidecar health --address 127.0.0.1:16002" in containers[0]["lifecycle"]["postStart"]["exec"]["command"][2]
    assert_valid([document])
    assert taken_out(put_in(text, PLAIN)) == text


@pytest.mark.parametrize("kind", ["Job", "CronJob"])
def test_a_job_beside_a_container_that_keeps_running_would_never_end_and_is_refused(kind: str) -> None:
    findings = refusal(block(workload(kind)), PLAIN)

    assert len(findings) == 1
    assert "spec.restartPolicy: does not go with a container that keeps running: the pod would never end" in findings[0]


def test_comments_order_and_everything_else_stay() -> None:
    injected = put_in(COMMENTED)

    kept = [line for line in COMMENTED.splitlines() if "http://" not in line and ">-" not in line]
    rest = iter(injected.splitlines())
    assert all(line in rest for line in kept)
    assert "- {name: PAYMENTS_URL, value: 'http://127.0.0.1:16101/v1'}" in injected
    assert put_in(injected) == injected
    assert taken_out(injected) == COMMENTED


def test_documents_of_other_kinds_and_none_at_all_are_passed_through() -> None:
    text = "---\n# nothing\n---\nkind: Deployment\napiVersion: example.com/v1\nspec: 5\n---\n[1, 2]\n---\nkind: Thing\n"

    assert put_in(text) == text


def test_objects_in_a_list_are_served_each() -> None:
    items = [workload("Deployment"), {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}, workload("Pod")]
    text = block({"apiVersion": "v1", "kind": "List", "items": items})

    injected = put_in(text)

    served = yaml.safe_load(injected)["items"]
    assert [len(template_of(each)["spec"].get("initContainers", [])) for each in (served[0], served[2])] == [1, 1]
    assert served[1] == items[1]
    assert taken_out(injected) == text


def test_a_newer_version_takes_the_place_of_the_older_one() -> None:
    old = put_in(block(workload("Deployment")), InjectionSettings(image="retry-sidecar:0.0.1"))
    old = old.replace('"version":"0.1.0"', '"version":"0.0.1"')

    new = put_in(old)

    assert '"version":"0.0.1"' in old
    assert new == put_in(block(workload("Deployment")))
    assert "0.0.1" not in new.replace("127.0.0.1", "")


def test_native_becomes_plain_and_back() -> None:
    text = block(workload("Deployment"))

    assert put_in(put_in(text), PLAIN) == put_in(text, PLAIN)
    assert put_in(put_in(text, PLAIN)) == put_in(text)


def test_what_has_been_changed_since_is_kept() -> None:
    injected = put_in(block(workload("Deployment")))
    edited = injected.replace("value: http://127.0.0.1:16101/v1", "value: http://elsewhere:1/v2")

    bare = taken_out(edited)

    assert edited != injected
    assert "http://elsewhere:1/v2" in bare
    assert "retry-sidecar" not in bare


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"hostNetwork": True}, "spec.template.spec.hostNetwork: does not go with a sidecar"),
        ({"os": {"name": "windows"}}, 'spec.template.spec.os.name: must be linux for a sidecar, got "windows"'),
        (
            {"containers": [{"name": "retry-sidecar"}]},
            "spec.template.spec.containers.retry-sidecar.name: is the name of",
        ),
        ({"volumes": [{"name": "retry-sidecar-tmp"}]}, "spec.template.spec.volumes.retry-sidecar-tmp.name: is a name"),
        ({"containers": [{"name": "app"}]}, "names a variable that no container has"),
        ({"containers": "app"}, 'spec.template.spec.containers: must be a list of mappings, got "app"'),
        ({"containers": [{"image": "x"}]}, "spec.template.spec.containers[0]: must have a name"),
        ({"containers": []}, "spec.template.spec.containers: must not be empty"),
        ({"initContainers": 5}, "spec.template.spec.initContainers: must be a list of mappings, got 5"),
        ({"containers": [{"name": "app", "env": [1]}]}, "spec.template.spec.containers[0].env: must be a list of"),
    ],
)
def test_what_can_not_have_a_sidecar_is_one_message_with_line_field_and_value(change: Object, line: str) -> None:
    findings = refusal(block(workload("Deployment", pod(**change))))

    assert len(findings) == 1
    assert line in findings[0]
    assert findings[0].startswith("m.yaml:")


def test_a_port_that_the_application_has_is_told_by_its_line() -> None:
    template = pod()
    template["spec"]["containers"][0]["ports"] = [{"containerPort": 80}, {"containerPort": 16101}]
    text = block(workload("Deployment", template))
    line = text.split("16101")[0].count("\n") + 1

    assert refusal("# a\n---\n" + text) == [
        (
            f"m.yaml:{line + 2}: spec.template.spec.containers.app.ports[1].containerPort: is a port of the sidecar's,"
            " and all containers of a pod share them, got 16101"
        )
    ]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (b"a: [1\n", "is not YAML"),
        (b"{{ .Values.x }}: {{ y }}\n", "is not YAML"),
        (b"a: \xff\n", "m.yaml:1: must be UTF-8"),
        (b"a: !!python/object:os.system x\n", "is not YAML"),
        (b"[" * 200 + b"]" * 200, "must not be nested deeper than 100"),
        (b"a: 2026-02-31\n", "is not YAML"),
        (b"kind: Deployment\napiVersion: apps/v1\nspec: {template: 5}\n", "m.yaml:3: spec.template: must be a mapping"),
        (b"kind: Pod\napiVersion: v1\nspec: null\n", "m.yaml:3: spec: must be a mapping"),
        (b"kind: Pod\napiVersion: v1\nmetadata: []\nspec: {containers: []}\n", "m.yaml:3: metadata: must be a mapping"),
    ],
)
def test_what_is_no_manifest_is_one_message(text: bytes, rule: str) -> None:
    with pytest.raises(InvalidDocument) as raised:
        inject_manifest(text, "m.yaml", DEFAULTS)

    assert rule in str(raised.value)


def test_an_alias_or_merge_key_where_something_must_change_is_refused_by_its_line() -> None:
    head = "kind: Pod\napiVersion: v1\nmetadata: {name: a}\nspec:\n  containers: [{name: app}]\n"
    shared = f"{head}  volumes: &v [{{name: x}}]\nmore: *v\n"
    alias = f"base: &v [{{name: x}}]\n{head}  volumes: *v\n"
    merged = f"base: &b {{volumes: [{{name: x}}]}}\n{head}  <<: *b\n"

    assert refusal(shared) == ["m.yaml:6: can not be changed without changing something else"]
    assert refusal(alias) == ["m.yaml:7: has an alias for volumes: write it out"]
    assert refusal(merged) == ["m.yaml:6: may have volumes by a merge key: write it out"]


def test_aliases_that_stand_for_more_than_a_machine_holds_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]

    assert "is more than 1000000 values with its aliases written out" in refusal("\n".join(lines))[0]


@pytest.mark.parametrize("ending", ["\n", "", "\n\n", "\n# end", "\n---\n", "\n...\n", "   \n"])
@pytest.mark.parametrize("style", STYLES)
def test_whatever_the_file_ends_with_stays(ending: str, style: Any) -> None:
    text = style(workload("Deployment")).rstrip() + ending

    injected = put_in(text)

    assert taken_out(injected) == text
    assert put_in(injected) == injected


def test_lines_may_end_as_they_do_on_windows() -> None:
    text = COMMENTED.replace("\n", "\r\n")

    injected = put_in(text)

    assert "\n" not in injected.replace("\r\n", "")
    assert taken_out(injected) == text


@st.composite
def sparse(draw: st.DrawFn) -> Object:
    """A pod of which much is missing, null or empty, as generators of manifests write them."""
    template = pod()
    for around, key, empty in (
        (template["metadata"], "annotations", {}),
        (template["metadata"], "labels", {}),
        (template["spec"], "initContainers", []),
        (template["spec"], "volumes", []),
        (template["spec"]["containers"][0], "env", []),
        (template, "metadata", {}),
    ):
        match draw(st.sampled_from(["as it is", "absent", "null", "empty"])):
            case "absent":
                around.pop(key, None)
            case "empty":
                around[key] = empty
            case "null":
                around[key] = None
    annotations = (template.get("metadata") or {}).get("annotations")
    if annotations is not None and not template["spec"]["containers"][0].get("env"):
        annotations.pop("sidecar.io/env", None)
    if annotations is not None and draw(st.booleans()):
        annotations["sidecar.io/http-proxy"] = "enabled"
    return template


@given(
    template=sparse(),
    kind=st.sampled_from(KINDS),
    style=st.sampled_from(STYLES),
    native=st.booleans(),
    above=st.sampled_from(["", "# a comment\n", "---\n"]),
)
@settings(max_examples=60, deadline=None)
def test_in_and_out_again_is_the_same_text_whatever_is_missing(
    template: Object, kind: str, style: Any, native: bool, above: str
) -> None:
    document = workload(kind if kind != "Pod" or template.get("metadata") else "Deployment", template)
    text = above + style(document)
    chosen = DEFAULTS if native or "Job" in kind else PLAIN

    injected = put_in(text, chosen)

    assert put_in(injected, chosen) == injected
    assert taken_out(injected) == text
    spec = template_of(yaml.safe_load(injected))["spec"]
    containers = [*(spec.get("initContainers") or []), *spec["containers"]]
    assert [each["name"] for each in containers].count("retry-sidecar") == 1


def test_an_object_from_the_cluster_is_taken_out_by_its_record() -> None:
    """`kubectl get -o json` has neither comments nor order."""
    before = workload("Deployment")
    live = json.loads(json.dumps(yaml.safe_load(put_in(block(before))), sort_keys=True))

    assert json.loads(taken_out(pretty(live))) == before
    assert yaml.safe_load(taken_out(flow(live))) == before
    assert json.loads(taken_out(compact(live))) == before


@pytest.mark.parametrize(
    "record",
    ["x", "5", "[]", '{"a":1}', '{"created":5}', '{"replaced":[{"path":[]}]}', '{"added":[["a"]]}', "[" * 9000],
)
def test_a_record_of_another_hand_is_told_and_nothing_is_changed(record: str) -> None:
    template = pod()
    template["metadata"]["annotations"] = {"sidecar.io/injected": record}

    findings = refusal(block(workload("Deployment", template)))

    assert "annotations.sidecar.io/injected: is not a record of this program" in findings[0]
