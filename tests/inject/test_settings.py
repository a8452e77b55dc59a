"""`injection.yaml` is read strictly, and its schema says the same."""

from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from msgspec import UNSET, structs

from sidecar.governance.documents.finding import InvalidDocument
from sidecar.inject.settings import DEFAULTS, IMAGE, InjectionSettings, Quantity, read_settings, schema

FULL = """\
image: registry.internal/retry-sidecar:1
image_pull_policy: Always
native: false
resources: {requests: {cpu: 0.1, memory: 64Mi}, limits: {memory: 128Mi}}
authority: retry-sidecar-policy
authority_required: true
config_map: retry-sidecar
drain: 30s
pre_stop: 2s
failure: fail
"""


def read(folder: Path, text: str) -> InjectionSettings:
    file = folder / "injection.yaml"
    file.write_text(text)
    return read_settings(file)


def test_every_setting_is_read(tmp_path: Path) -> None:
    found = read(tmp_path, FULL)

    assert found.image == "registry.internal/retry-sidecar:1"
    assert found.resources.requests["cpu"] == "0.1"
    assert (found.native, found.drain, found.pre_stop, found.failure) == (False, 30.0, 2.0, "fail")
    assert found.authority == "retry-sidecar-policy"


def test_without_a_file_there_are_defaults() -> None:
    assert DEFAULTS.image == IMAGE
    assert DEFAULTS.native
    assert DEFAULTS.authority is UNSET


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("imag: x\n", "injection.yaml:1: imag: is not known; did you mean image?"),
        ("native: yes\n", "injection.yaml:1: native: must be true or false"),
        ("drain: 25\n", "injection.yaml:1: drain: must be a duration with its unit"),
        ("drain: 2h\n", 'injection.yaml:1: drain: must be at most 1h, got "2h"'),
        ("pre_stop: 10m\n", "injection.yaml:1: pre_stop: must be at most 5m"),
        ("resources: {requests: {cpu: many}}\n", "resources.requests.cpu: must be a quantity, like 50m, 1 or 64Mi"),
        ("resources: {requests: {CPU: 1}}\n", "must be the name of a resource"),
        ("resources: {request: {cpu: 1}}\n", "resources.request: is not known; did you mean requests?"),
        ("config_map: A_B\n", "config_map: must be the name of an object"),
        ("policy: {}\n", "policy: must name config_map or url, one of them"),
        ("policy: {config_map: a, url: 'https://a/b'}\n", "policy: must name config_map or url, one of them"),
        ("policy: {url: 'http://a/b'}\n", "policy.url: must be a URL like https://host/path"),
        ("policy: {url: 'https://a/b', key: k}\n", "policy.key: goes with config_map only"),
        ("authority: a\npolicy: {config_map: b}\n", "policy: does not go with authority"),
        ("authority_required: true\n", "authority_required: goes with authority only"),
        ("failure: maybe\n", "failure: must be fail or ignore"),
        ("[]\n", "must be a mapping"),
    ],
)
def test_what_is_wrong_is_told_by_line_field_rule_and_value(tmp_path: Path, text: str, finding: str) -> None:
    with pytest.raises(InvalidDocument) as raised:
        read(tmp_path, text)

    assert finding in str(raised.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidDocument, match="can not be read: No such file"):
        read_settings(tmp_path / "injection.yaml")


def test_the_schema_has_every_setting_and_takes_what_is_right() -> None:
    validator = Draft202012Validator(schema())

    validator.check_schema(schema())
    assert list(schema()["properties"]) == [field.name for field in structs.fields(InjectionSettings)]
    assert all(each["description"] for each in schema()["properties"].values())
    assert validator.is_valid(yaml.safe_load(FULL))
    assert validator.is_valid({"policy": {"url": "https://a/b"}})


@pytest.mark.parametrize(
    "document",
    [{"imag": "x"}, {"native": "yes"}, {"drain": 25}, {"failure": "maybe"}, {"policy": {}}, {"resources": 1}],
)
def test_the_schema_refuses_what_is_refused(document: dict[str, object]) -> None:
    assert not Draft202012Validator(schema()).is_valid(document)


@pytest.mark.parametrize("written", ["50m", "1", "0.5", ".5", "64Mi", "1Gi", 1, 0.5])
def test_a_quantity_is_as_kubernetes_writes_it(written: object) -> None:
    assert Quantity.parse(written) == str(written)


@pytest.mark.parametrize("written", ["", "m", "1 Mi", "64mi", "-1", None, True, "1e3", []])
def test_anything_else_is_no_quantity(written: object) -> None:
    with pytest.raises(ValueError, match="must be a quantity"):
        Quantity.parse(written)
