"""Every way to have a document believed that its signers have not signed. Each is an attack that somebody has made."""

import base64
import json
import subprocess
import sys

import pytest

from sidecar.governance.documents.finding import InvalidDocument
from sidecar.governance.trust import signature
from sidecar.governance.trust.signature import POLICY, Signature, read, require, written
from tests.fakes.signers import pinned, signed, signer

CONTENT = b"version: 7\nowner: platform\n"
ORDER = 2**252 + 27742317777372353535851937790883648493
"""Of the group that Ed25519 signatures live in."""


def judged(content: bytes, file: bytes | None, *names: str, required: int = 1) -> tuple[str, ...]:
    return require(POLICY, content, file, "policy.yaml", pinned(*names), required)


def test_the_signers_are_named() -> None:
    assert judged(CONTENT, signed(CONTENT, "bob", "ann"), "ann", "bob", required=2) == ("ann", "bob")


def test_more_signatures_than_needed_do_no_harm() -> None:
    assert judged(CONTENT, signed(CONTENT, "ann", "bob", "cyd"), "ann", "bob", "cyd", required=2) == (
        "ann",
        "bob",
        "cyd",
    )


def test_no_signature_is_a_failure() -> None:
    with pytest.raises(InvalidDocument, match="must be signed: there is no"):
        judged(CONTENT, None, "ann")


@pytest.mark.parametrize("at", [0, 9, len(CONTENT) - 1])
def test_a_flipped_byte_of_the_document_is_a_failure(at: int) -> None:
    changed = bytearray(CONTENT)
    changed[at] ^= 1

    with pytest.raises(InvalidDocument, match=r"must be signed by 1 of ann, got 0: 'ann' \(not of these bytes\)"):
        judged(bytes(changed), signed(CONTENT, "ann"), "ann")


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"\n", CONTENT.replace(b"\n", b"\r\n"), b""])
def test_a_document_that_is_shorter_longer_or_rewritten_is_a_failure(content: bytes) -> None:
    with pytest.raises(InvalidDocument, match="must be signed by 1 of ann"):
        judged(content, signed(CONTENT, "ann"), "ann")


@pytest.mark.parametrize("at", range(0, 64, 7))
def test_a_flipped_byte_of_the_signature_is_a_failure(at: int) -> None:
    value = bytearray(signer("ann").sign(CONTENT).value)
    value[at] ^= 0x10

    with pytest.raises(InvalidDocument, match="not of these bytes"):
        judged(CONTENT, written([Signature("ann", bytes(value))]), "ann")


def test_a_signature_of_another_document_is_a_failure() -> None:
    other = b"version: 8\nowner: platform\n"

    with pytest.raises(InvalidDocument, match="not of these bytes"):
        judged(other, signed(CONTENT, "ann"), "ann")


def test_a_signature_for_another_kind_of_document_is_a_failure() -> None:
    file = written([signer("ann").sign(CONTENT, kind="sidecar")])

    with pytest.raises(InvalidDocument, match="not of these bytes"):
        judged(CONTENT, file, "ann")


def test_a_signature_of_the_bare_bytes_without_a_domain_is_a_failure() -> None:
    value = signature.ed25519().sign(signer("ann").private, CONTENT)

    with pytest.raises(InvalidDocument, match="not of these bytes"):
        judged(CONTENT, written([Signature("ann", value)]), "ann")


def test_a_signature_of_the_bare_digest_without_a_domain_is_a_failure() -> None:
    digest = signature.message(POLICY, CONTENT).rpartition(b"policy\0")[2]
    value = signature.ed25519().sign(signer("ann").private, digest)

    assert len(digest) == 32
    with pytest.raises(InvalidDocument, match="not of these bytes"):
        judged(CONTENT, written([Signature("ann", value)]), "ann")


def test_too_few_of_the_keys_are_a_failure_that_names_who_has_signed() -> None:
    with pytest.raises(InvalidDocument, match=r"must be signed by 2 of ann, bob, cyd, got 1: 'bob' \(valid\)"):
        judged(CONTENT, signed(CONTENT, "bob"), "ann", "bob", "cyd", required=2)


def test_the_same_key_twice_counts_once() -> None:
    file = signed(CONTENT, "ann", "ann")

    with pytest.raises(InvalidDocument, match="got 1"):
        judged(CONTENT, file, "ann", "bob", required=2)


def test_one_key_under_two_names_counts_once() -> None:
    file = written([signer("ann").sign(CONTENT), signer("ann").sign(CONTENT, name="bob")])

    with pytest.raises(InvalidDocument, match=r"got 1: 'ann' \(valid\), 'bob' \(not of these bytes\)"):
        judged(CONTENT, file, "ann", "bob", required=2)


def test_an_unknown_key_counts_for_nothing_and_does_no_harm() -> None:
    file = signed(CONTENT, "eve", "ann")

    assert judged(CONTENT, file, "ann") == ("ann",)
    with pytest.raises(InvalidDocument, match=r"'eve' \(not pinned\)"):
        judged(CONTENT, signed(CONTENT, "eve"), "ann")


def test_a_bad_line_before_the_good_one_of_the_same_key_does_not_hide_it() -> None:
    file = written([Signature("ann", b"\0" * 64), signer("ann").sign(CONTENT)])

    assert judged(CONTENT, file, "ann") == ("ann",)


def test_another_form_of_a_valid_signature_is_a_failure() -> None:
    """RFC 8032 §5.1.7: S must be below the order, or everybody could make a second signature of the first."""
    value = signer("ann").sign(CONTENT).value
    twin = value[:32] + (int.from_bytes(value[32:], "little") + ORDER).to_bytes(32, "little")

    with pytest.raises(InvalidDocument, match="not of these bytes"):
        judged(CONTENT, written([Signature("ann", twin)]), "ann")


@pytest.mark.parametrize(
    "tamper",
    [
        lambda text: text.rstrip("="),
        lambda text: text + "=",
        lambda text: text + " ",
        lambda text: text[:-3] + chr(ord(text[-3]) + 1) + "==",  # other unused bits
        lambda text: text[:-4],
        lambda text: base64.b64encode(base64.b64decode(text) + b"x").decode(),
        lambda _: "",
    ],
)
def test_a_signature_written_otherwise_is_refused(tamper: object) -> None:
    assert callable(tamper)
    text = json.loads(signed(CONTENT, "ann"))["sig"]

    with pytest.raises(InvalidDocument, match=r"policy.yaml.sig:1:"):
        judged(CONTENT, json.dumps({"keyid": "ann", "sig": tamper(text)}).encode() + b"\n", "ann")


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (b"", "must have 1 to 100 lines, got 0"),
        (b"\n", ":1: must be a line like"),
        (b"<html>", ":1: must be a line like"),
        (b"[]\n", ":1: must be a line like"),
        (b'{"keyid": "ann"}\n', ":1: must be a line like"),
        (b'{"keyid": 1, "sig": "AA=="}\n', ":1: must be a line like"),
        (b'{"keyid": "ann", "sig": "AA==", "alg": "none"}\n', ":1: must be a line like"),
        (b"\xff\xfe\n", ":1: must be a line like"),
        pytest.param(signed(CONTENT, "ann")[:-20], ":1: must be a line like", id="cut off"),
        (signed(CONTENT, "ann") + b"{}\n", ":2: must be a line like"),
        (signed(CONTENT, "ann") * 101, "must have 1 to 100 lines, got 101"),
        (b"x" * (64 * 1024 + 1), "must be at most 64KiB, got 65537 bytes"),
    ],
)
def test_a_broken_signature_file_names_file_line_and_rule(file: bytes, message: str) -> None:
    with pytest.raises(InvalidDocument, match=r"policy.yaml\.sig") as raised:
        judged(CONTENT, file, "ann")

    assert message in str(raised.value)


def test_files_swapped_with_each_other_are_a_failure() -> None:
    file = signed(CONTENT, "ann")

    with pytest.raises(InvalidDocument):
        judged(file, CONTENT, "ann")


def test_what_is_written_reads_back() -> None:
    signatures = [signer("ann").sign(CONTENT), signer("bob").sign(CONTENT)]

    assert read(written(signatures), "policy.yaml.sig") == signatures


def test_cryptography_is_not_imported_until_it_is_needed_and_its_lack_is_one_clear_sentence() -> None:
    program = """
import sys
from sidecar.governance.trust import signature
assert not any(name.partition(".")[0] == "cryptography" for name in sys.modules)
sys.modules["cryptography"] = None
for needs_it in signature.ed25519, signature.require_extra:
    try:
        needs_it()
    except signature.LacksExtra as error:
        print(error)
"""

    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert result.stdout == "signatures need the extra `signed`: pip install 'retry-sidecar[signed]'\n" * 2
