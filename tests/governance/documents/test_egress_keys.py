"""How a destination's file says that it wants idempotency keys, and what is refused of it."""

import pytest

from sidecar.governance.documents.document import read_sidecar
from sidecar.governance.documents.egress_keys import IdempotencyKeySettings, KeyTerms
from sidecar.governance.documents.finding import Finding
from sidecar.governance.documents.yaml import parse
from tests.fakes.documents import SIDECAR

PATH = "s.yaml:6: destinations.payments.idempotency_key"


def read(contract: str) -> tuple[IdempotencyKeySettings, list[str]]:
    findings: list[Finding] = []
    document = read_sidecar(parse((SIDECAR + f"    idempotency_key: {contract}\n").encode(), "s.yaml"), findings)
    assert document is not None
    return document.destinations["payments"].idempotency_key, [str(finding) for finding in findings]


def test_without_a_word_a_key_is_a_bare_header_of_the_drafts_name() -> None:
    assert IdempotencyKeySettings().with_preset == KeyTerms("Idempotency-Key", False, None, 255, "visible", None)


def test_every_word_of_a_contract_may_be_said() -> None:
    contract = "{header: X-Key, form: quoted, location: header, max_length: 64, charset: url, key_from: X-Event}"

    settings, findings = read(contract)

    assert findings == []
    assert settings.with_preset == KeyTerms("X-Key", True, None, 64, "url", "X-Event")


def test_a_key_may_stand_in_the_body_and_be_made_of_a_value_there() -> None:
    settings, findings = read("{location: /meta/key, key_from: /event/id}")

    assert findings == []
    assert (settings.with_preset.location, settings.with_preset.key_from) == ("/meta/key", "/event/id")


def test_a_preset_is_laid_under_what_is_written() -> None:
    settings, findings = read("{preset: square, max_length: 40}")

    assert findings == []
    assert settings.with_preset == KeyTerms("Idempotency-Key", False, "/idempotency_key", 40, "visible", None)


def test_a_presets_place_in_the_body_gives_way_to_a_header() -> None:
    settings, findings = read("{preset: square, location: header, header: X-Key}")

    assert findings == []
    assert (settings.with_preset.location, settings.with_preset.header) == (None, "X-Key")


@pytest.mark.parametrize(
    ("contract", "finding"),
    [
        ("{max_length: 31}", ".max_length: must be at least 32: a key of the sidecar's own is a UUID, got 31"),
        (
            "{charset: uuid, max_length: 35}",
            ".max_length: must be at least 36 where charset is uuid: so long is one with its hyphens, got 35",
        ),
        ("{location: body}", '.location: must be header or a JSON pointer into the body, like /key, got "body"'),
        ("{location: /a~2}", '.location: must be a JSON pointer like /event/id (RFC 6901), got "/a~2"'),
        ("{key_from: /a~}", '.key_from: must be a JSON pointer like /event/id (RFC 6901), got "/a~"'),
        (
            '{key_from: "an event"}',
            '.key_from: must be the name of a header or a JSON pointer into the body, like /event/id, got "an event"',
        ),
        ("{location: /key, header: X-Key}", ".header: is for a key in a header: this one is in the body, at /key"),
        ("{location: /key, form: quoted}", ".form: is for a key in a header: this one is in the body, at /key"),
        ("{location: /key, key_from: /key}", '.key_from: must be another place than the key\'s own, got "/key"'),
        (
            "{key_from: idempotency-key}",
            '.key_from: must be another place than the key\'s own, got "idempotency-key"',
        ),
    ],
)
def test_what_can_not_be_is_refused(contract: str, finding: str) -> None:
    assert read(contract)[1] == [PATH + finding]


def test_a_preset_that_there_is_not_is_refused_with_those_there_are() -> None:
    _, findings = read("{preset: acme}")

    assert len(findings) == 1
    assert findings[0].startswith(f"{PATH}.preset: ")
    assert "stripe" in findings[0]
