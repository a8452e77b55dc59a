"""The client reads what the sidecar reads, and is bound by what binds the sidecar."""

from pathlib import Path

import pytest

from sidecar.client.documents import load, of_values
from sidecar.governance.documents.finding import InvalidDocument

POLICY = """
version: 1
owner: platform
defaults: {timeout: 4s}
guardrails:
  budget.ratio: {max: 0.2}
destinations:
  payments: {idempotency_key: {honours: true, retention: 24h}}
"""


def write(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def test_a_sidecar_file_is_read_with_its_policy(tmp_path: Path) -> None:
    write(tmp_path, "policy.yaml", POLICY)
    file = write(
        tmp_path,
        "sidecar.yaml",
        """
service: checkout
policy: {file: policy.yaml}
destinations:
  payments: {endpoints: ["http://payments.test:8080"], overrides: {budget: {ratio: 0.15}}}
""",
    )

    retries = load(file)

    assert retries["payments"].policy.budget.ratio == 0.15
    assert retries["payments"].policy.timeout == 4.0
    assert retries.for_host("payments.test", 8080) is retries["payments"]


def test_a_guardrail_binds_values_as_it_binds_a_file(tmp_path: Path) -> None:
    policy = write(tmp_path, "policy.yaml", POLICY)

    with pytest.raises(InvalidDocument, match=r"values:1: destinations.payments.overrides.budget.ratio"):
        of_values("checkout", {"payments": {"overrides": {"budget": {"ratio": 0.9}}}}, policy=policy)


def test_values_need_no_endpoints_and_no_policy() -> None:
    retries = of_values("checkout", {"payments": {"overrides": {"timeout": "3s"}}})

    assert retries["payments"].policy.timeout == 3.0
    assert retries.for_host("payments", 80) is retries["payments"]


def test_what_only_the_platform_may_say_is_refused_from_values() -> None:
    with pytest.raises(InvalidDocument, match="honours"):
        of_values("checkout", {"payments": {"idempotency_key": {"honours": True, "retention": "24h"}}})


def test_the_platform_says_who_honours_keys(tmp_path: Path) -> None:
    policy = write(tmp_path, "policy.yaml", POLICY)

    retries = of_values("checkout", {"payments": {}}, policy=policy)

    assert retries["payments"].policy.honours_keys
    assert retries["payments"].policy.key_retention == 86400.0


def test_a_mistake_is_told_by_field(tmp_path: Path) -> None:
    with pytest.raises(InvalidDocument, match="timeout"):
        of_values("checkout", {"payments": {"overrides": {"timeout": 3}}})
    with pytest.raises(InvalidDocument):
        of_values("checkout", {"payments": 3})  # type: ignore[dict-item]
    with pytest.raises(InvalidDocument, match="can not be read"):
        load(tmp_path / "nowhere.yaml")
