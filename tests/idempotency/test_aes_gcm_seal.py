"""Encrypted answers: read with the key of the file, under the record's own key, and in no other way."""

import base64
from pathlib import Path

import pytest

from sidecar.idempotency.aes_gcm_seal import AesGcmSeal, read_seal
from sidecar.idempotency.answer import UnreadableAnswer, answer_of, decode_answer, encode_answer
from tests.idempotency.stores.conformance import KEY

ANSWER = answer_of(201, b"201 Created", b"", b"card 4242")


def test_an_encrypted_answer_reads_back_and_is_not_in_the_clear() -> None:
    seal = AesGcmSeal(b"s" * 32)

    stored = encode_answer(ANSWER, KEY, seal)

    assert b"4242" not in stored
    assert decode_answer(stored, KEY, seal) == ANSWER
    assert stored != encode_answer(ANSWER, KEY, seal)


def test_it_is_unreadable_with_another_key_under_another_record_and_when_changed() -> None:
    stored = encode_answer(ANSWER, KEY, AesGcmSeal(b"s" * 32))

    for written, key, seal in (
        (stored, KEY, AesGcmSeal(b"t" * 32)),
        (stored, b"o" * 32, AesGcmSeal(b"s" * 32)),
        (stored[:-1] + bytes([stored[-1] ^ 1]), KEY, AesGcmSeal(b"s" * 32)),
        (stored[:5], KEY, AesGcmSeal(b"s" * 32)),
    ):
        with pytest.raises(UnreadableAnswer):
            decode_answer(written, key, seal)


def test_the_key_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(base64.b64encode(b"s" * 32) + b"\n")

    assert decode_answer(encode_answer(ANSWER, KEY, AesGcmSeal(b"s" * 32)), KEY, read_seal(file)) == ANSWER


def test_the_first_key_of_a_file_encrypts_and_all_of_them_decrypt(tmp_path: Path) -> None:
    file, old, new = tmp_path / "key", b"o" * 32, b"n" * 32
    by_old = encode_answer(ANSWER, KEY, AesGcmSeal(old))
    file.write_bytes(base64.b64encode(new) + b"  # since May\n\n# the one before\n" + base64.b64encode(old) + b"\n")

    seal = read_seal(file)

    assert decode_answer(by_old, KEY, seal) == ANSWER
    by_new = encode_answer(ANSWER, KEY, seal)
    assert decode_answer(by_new, KEY, AesGcmSeal(new)) == ANSWER
    with pytest.raises(UnreadableAnswer):
        decode_answer(by_new, KEY, AesGcmSeal(old))


@pytest.mark.parametrize(
    ("keys", "rule"),
    [
        ([b"a" * 32, b"short"], r"key:2: must hold 32 bytes"),
        ([b"a" * 32, b"a" * 32], r"key: must hold each key once"),
        ([bytes([n]) * 32 for n in range(17)], r"key: must hold at most 16 keys, has 17"),
    ],
)
def test_what_is_wrong_with_a_file_of_several_keys_is_said(tmp_path: Path, keys: list[bytes], rule: str) -> None:
    (tmp_path / "key").write_bytes(b"\n".join(base64.b64encode(key) for key in keys))

    with pytest.raises(ValueError, match=rule):
        read_seal(tmp_path / "key")


@pytest.mark.parametrize("content", [b"", b"short", base64.b64encode(b"s" * 16), b"\xff" * 44])
def test_a_file_without_such_a_key_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)

    with pytest.raises(ValueError, match="must hold 32 bytes in base64"):
        read_seal(file)
