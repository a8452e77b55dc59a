"""The sidecar file and flags by themselves; what they amount to with a policy is in test_snapshot."""

from pathlib import Path

import pytest

from sidecar.governance.documents.finding import Finding, InvalidDocument
from sidecar.governance.policy.bootstrap import Bootstrap, from_file, from_flags
from tests.fakes.documents import SIDECAR

KEY = "C" * 42 + "A="
OTHER_KEY = "B" * 42 + "A="
FILE = Path("/etc/sidecar/sidecar.yaml")


def bootstrap(policy: str) -> tuple[Bootstrap, list[str]]:
    findings: list[Finding] = []
    text = SIDECAR.replace("policy: {file: policy.yaml}", f"policy: {policy}")
    found = from_file(FILE, text.encode(), findings)
    return found, [str(finding).removeprefix(f"{FILE}:2: ") for finding in findings]


def test_a_sidecar_file_without_a_policy_names_none() -> None:
    found = from_file(FILE, b"service: checkout\n", [])

    assert found.policy is None
    assert found.policy_file is None


@pytest.mark.parametrize(
    ("policy", "file"),
    [
        ("{file: policy.yaml}", Path("/etc/sidecar/policy.yaml")),
        ("{file: /srv/fleet.yaml}", Path("/srv/fleet.yaml")),
        ("{directory: fleet}", Path("/etc/sidecar/fleet/policy.yaml")),
        ("{url: 'https://policy.internal/fleet.yaml'}", None),
    ],
)
def test_where_the_policy_is_is_said_relative_to_the_sidecar_file(policy: str, file: Path | None) -> None:
    found, findings = bootstrap(policy)

    assert findings == []
    assert found.policy_file == file


def test_everything_about_an_address_can_be_said() -> None:
    found, findings = bootstrap(
        "{url: 'https://policy.internal/fleet.yaml', poll: 10s, timeout: 2s, ca: ca.pem, token_file: token,"
        " cache: /var/lib/sidecar, previous: 'https://policy.internal/old.yaml',"
        f" keys: {{ann: {KEY}, bob: {OTHER_KEY}}}, required: 2}}"
    )

    assert findings == []
    assert found.policy is not None
    assert found.policy.required == 2
    assert found.policy.poll == 10.0


@pytest.mark.parametrize(
    ("policy", "finding"),
    [
        ("{}", "policy: must name file, directory or url, one of them"),
        ("{file: a.yaml, directory: b}", "policy: must name file, directory or url, one of them"),
        (
            "{url: 'http://policy.internal/fleet.yaml'}",
            (
                "policy.url: must be a URL like https://host/path, without user or fragment,"
                ' got "http://policy.internal/fleet.yaml"'
            ),
        ),
        ("{file: a.yaml, poll: 10s}", "policy.poll: goes with url only"),
        ("{file: a.yaml, token_file: t}", "policy.token_file: goes with url only"),
        ("{directory: a, ca: t}", "policy.ca: goes with url only"),
        ("{url: 'https://a/b', poll: 10ms}", 'policy.poll: must be between 1s and 24h, got "10ms"'),
        ("{url: 'https://a/b', timeout: 2m}", 'policy.timeout: must be between 100ms and 1m, got "2m"'),
        ("{file: a.yaml, required: 1}", "policy.required: goes with keys only"),
        (
            f"{{file: a.yaml, keys: {{ann: {KEY}}}, required: 2}}",
            "policy.required: must be at most the number of keys (1), got 2",
        ),
        (f"{{file: a.yaml, keys: {{ann: {KEY}}}, required: 0}}", "policy.required: must be at least 1, got 0"),
        (
            f"{{file: a.yaml, keys: {{ann: {KEY}, bob: {KEY}}}}}",
            f'policy.keys.bob: must not be the same key as ann, got "{KEY}"',
        ),
        (
            "{file: a.yaml, keys: {ann: nonsense}}",
            (
                "policy.keys.ann: must be the 32 bytes of an Ed25519 public key in base64,"
                ' as `sidecar policy keygen` prints them, got "nonsense"'
            ),
        ),
        ("{file: a.yaml, pol: 1}", "policy.pol: is not known; did you mean poll?"),
    ],
)
def test_a_wrong_source_names_field_rule_and_value(policy: str, finding: str) -> None:
    _, findings = bootstrap(policy)

    assert finding in findings


def test_what_is_no_sidecar_file_at_all_is_raised() -> None:
    with pytest.raises(InvalidDocument, match="must be a mapping"):
        from_file(FILE, b"- service\n", [])


def test_flags_name_the_policy_as_given() -> None:
    found = from_flags("checkout", ["payments=http://127.0.0.1:9001"], None, Path("fleet/policy.yaml"), None, [])

    assert found.policy_file == Path("fleet/policy.yaml")
    assert found.tree.place(("policy", "file")) == ("--policy", None)
