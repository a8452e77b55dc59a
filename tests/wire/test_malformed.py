"""Bytes that are refused."""

import re
from pathlib import Path

import sidecar
from sidecar.wire.malformed import REASONS, Malformed


def test_a_refusal_carries_status_reason_and_a_sentence() -> None:
    error = Malformed(400, "host", "no Host")

    assert (error.status, error.reason, str(error)) == (400, "host", "no Host")


def test_reasons_are_fit_to_be_labels() -> None:
    assert len(set(REASONS)) == len(REASONS)
    assert all(reason.replace("_", "").isalpha() and reason.islower() for reason in REASONS)


def test_every_reason_that_is_given_anywhere_is_listed() -> None:
    sources = [path.read_text("utf-8") for path in Path(sidecar.__file__).parent.rglob("*.py")]

    given = {reason for source in sources for reason in re.findall(r'Malformed\(\s*\d+,\s*"(\w+)"', source)}

    assert given
    assert given <= set(REASONS)
