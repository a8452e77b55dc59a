"""Signatures are verified apart as they are here, and whatever becomes of the other process no lie is believed."""

import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.governance.trust import ed25519, verification
from sidecar.governance.trust.verification import Claim, apart, verified


def claim(message: bytes = b"message") -> Claim:
    private, public = ed25519.generate()
    return ed25519.public_bytes(public), ed25519.sign(private, message), message


def lies() -> list[Claim]:
    key, signature, message = claim()
    return [
        (key, signature, b"massage"),
        (claim()[0], signature, message),
        (key, bytes([signature[0] ^ 1]) + signature[1:], message),
        (b"short", signature, message),
    ]


def test_each_claim_gets_its_own_answer_from_the_other_process() -> None:
    claims = [claim(), *lies(), claim()]

    assert apart(claims) == [True, False, False, False, False, True]


def test_nothing_asked_is_nothing_answered() -> None:
    assert apart([]) == []


def test_a_process_that_has_not_loaded_the_cryptography_verifies_without_loading_it() -> None:
    claims = [claim(), lies()[0]]
    program = f"""
import sys
from sidecar.governance.trust.verification import verified
print(verified({claims!r}), any(name.startswith("cryptography") for name in sys.modules))
"""

    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert result.stdout == "[True, False] False\n"


@pytest.mark.parametrize(
    "does", ["pass", "print('true')", "print('maybe\\n' * 5)", "raise SystemExit(1)", "print('true ' * 5)"]
)
def test_another_process_that_fails_or_says_something_else_is_not_believed(
    does: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "program.py"
    program.write_text(does, encoding="utf-8")
    monkeypatch.setattr(verification, "__file__", str(program))
    monkeypatch.delitem(sys.modules, "cryptography")

    assert verified([claim(), *lies()]) == [True, False, False, False, False]


def test_another_process_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "program.py"
    program.write_text("import time\ntime.sleep(60)", encoding="utf-8")
    monkeypatch.setattr(verification, "__file__", str(program))
    monkeypatch.setattr(verification, "TIMEOUT", 0.1)

    with pytest.raises(subprocess.TimeoutExpired):
        apart([claim()])


def test_where_no_process_can_be_had_it_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    claims = [claim(), *lies()]
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.delitem(sys.modules, "cryptography")

    assert verified(claims) == [True, False, False, False, False]
