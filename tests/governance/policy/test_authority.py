from pathlib import Path

import pytest

from sidecar.governance.documents.finding import Finding, InvalidDocument
from sidecar.governance.policy.authority import authority_file, authority_from
from sidecar.governance.policy.bootstrap import from_file, from_flags
from tests.fakes.documents import SIDECAR

AUTHORITY = b"policy: {file: fleet/policy.yaml}\n"


def refusal(content: bytes) -> str:
    with pytest.raises(InvalidDocument) as caught:
        authority_from(Path("authority.yaml"), content)
    return str(caught.value)


def test_it_names_the_policy_relative_to_its_own_folder() -> None:
    authority = authority_from(Path("/etc/sidecar/authority.yaml"), AUTHORITY)
    findings: list[Finding] = []
    service = from_file(Path("/app/sidecar.yaml"), b"service: checkout\n", findings)

    bootstrap = service.under(authority, findings)

    assert findings == []
    assert bootstrap.policy is authority.policy
    assert bootstrap.policy_file == Path("/etc/sidecar/fleet/policy.yaml")
    assert bootstrap.path("client.pem") == Path("/app/client.pem")


def test_a_service_that_names_its_own_policy_is_refused_under_an_authority() -> None:
    """A sidecar file with a policy of its own, ratio 1.0 and ten attempts, had no findings."""
    findings: list[Finding] = []
    service = from_file(Path("sidecar.yaml"), SIDECAR.encode(), findings)

    bootstrap = service.under(authority_from(Path("authority.yaml"), AUTHORITY), findings)

    rule = "sidecar.yaml:2: policy: is not for the service to say: authority.yaml names the policy"
    assert [str(finding) for finding in findings] == [rule]
    assert bootstrap.policy_file == Path("fleet/policy.yaml")


def test_a_policy_by_flag_is_refused_under_an_authority() -> None:
    findings: list[Finding] = []
    service = from_flags("s", ["a=http://a:1"], None, Path("mine.yaml"), None, findings)

    service.under(authority_from(Path("authority.yaml"), AUTHORITY), findings)

    assert [str(finding) for finding in findings] == [
        "--policy: policy: is not for the service to say: authority.yaml names the policy"
    ]


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "authority.yaml: must not be empty"),
        (b"policy: {}\n", "authority.yaml:1: policy: must name file, directory or url, one of them"),
        (b"polcy: {file: a}\n", "authority.yaml:1: polcy: is not known; did you mean policy?"),
        (b"policy: {file: a, required: 2}\n", "authority.yaml:1: policy.required: goes with keys only"),
        (b"policy: {url: 'http://a/b'}\n", "authority.yaml:1: policy.url: must be a URL like https://host/path"),
    ],
)
def test_what_is_wrong_is_told_by_line_field_and_rule(content: bytes, rule: str) -> None:
    assert refusal(content).startswith(rule)


def test_the_file_at_the_fixed_place_counts_although_nothing_names_it(tmp_path: Path) -> None:
    fixed = tmp_path / "authority.yaml"

    absent = authority_file(None, fixed)
    fixed.write_bytes(AUTHORITY)

    assert absent is None
    assert authority_file(None, fixed) == fixed
    assert authority_file(fixed.parent / "." / "authority.yaml", fixed) == fixed


def test_nothing_that_the_service_starts_with_takes_the_place_of_the_platforms_file(tmp_path: Path) -> None:
    fixed, other = tmp_path / "authority.yaml", tmp_path / "mine.yaml"
    fixed.write_bytes(AUTHORITY)
    other.write_bytes(AUTHORITY)

    with pytest.raises(InvalidDocument, match=r"^--authority: must not name another authority than "):
        authority_file(other, fixed)


def test_one_that_is_named_counts_where_there_is_no_other(tmp_path: Path) -> None:
    assert authority_file(tmp_path / "mine.yaml", tmp_path / "absent") == tmp_path / "mine.yaml"
