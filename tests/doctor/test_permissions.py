import resource
from pathlib import Path

import pytest

from sidecar.doctor import permissions as module
from sidecar.doctor.permissions import permissions, writable
from sidecar.governance.policy.bootstrap import from_file
from sidecar.governance.policy.snapshot import compiled, local_delivery
from tests.fakes.certificates import certificate, write_pair
from tests.fakes.documents import NOW, POLICY, SIDECAR


def words(folder: Path, more: str = "", policy: str = "file: policy.yaml") -> list[str]:
    (folder / "policy.yaml").write_text(POLICY)
    file = folder / "sidecar.yaml"
    file.write_text(SIDECAR.replace("file: policy.yaml", policy) + more)
    findings: list[object] = []
    read = from_file(file, file.read_bytes(), findings)  # type: ignore[arg-type]
    snapshot = compiled(read, local_delivery(read, findings), findings, NOW)  # type: ignore[arg-type]
    return [each.word for each in permissions(read, snapshot)]


@pytest.fixture(autouse=True)
def _enough_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    infinite = resource.RLIM_INFINITY
    monkeypatch.setattr(module.resource, "getrlimit", lambda _: (infinite, infinite))


def test_where_all_is_allowed_it_says_so(tmp_path: Path) -> None:
    assert words(tmp_path) == [""]


def test_a_token_that_every_user_may_read_is_a_note(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("x" * 32)
    token.chmod(0o644)

    assert words(tmp_path, f"admin: {{token_file: {token}}}\n") == ["token_exposed"]

    token.chmod(0o600)
    assert words(tmp_path, f"admin: {{token_file: {token}}}\n") == [""]


@pytest.mark.parametrize("content", [None, "short"])
def test_a_token_that_can_not_be_used_is_found(tmp_path: Path, content: str | None) -> None:
    token = tmp_path / "token"
    if content is not None:
        token.write_text(content)

    assert words(tmp_path, f"admin: {{token_file: {token}}}\n") == ["file_unusable"]


def test_without_a_token_there_must_be_room_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/proc/sys")

    assert words(tmp_path) == ["token_none"]


def test_a_certificate_that_is_not_there_is_found_and_an_open_key_is_a_note(tmp_path: Path) -> None:
    cert, key = write_pair(tmp_path, certificate(), "server")
    key.chmod(0o644)
    tls = f"ingress: {{app: 'http://127.0.0.1:1', tls: {{cert: {cert}, key: {key}}}}}\n"

    assert words(tmp_path, tls) == ["key_exposed"]

    cert.unlink()
    assert "file_unusable" in words(tmp_path, tls)


def test_a_cache_folder_that_can_not_be_written_is_found(tmp_path: Path) -> None:
    assert words(tmp_path, policy="file: policy.yaml, cache: /proc/sys/cache") == ["cache_unwritable"]
    assert words(tmp_path, policy="file: policy.yaml, cache: new/cache") == [""]
    assert not (tmp_path / "new").exists()


def test_a_store_that_can_not_be_written_and_a_password_that_is_not_there_are_found(tmp_path: Path) -> None:
    ingress = "ingress: {app: 'http://127.0.0.1:1', idempotency: {store: {sqlite: /proc/sys/keys.db}}}\n"
    redis = f"{{redis: 'redis://127.0.0.1', password_file: {tmp_path}/no}}"
    shared = f"ingress: {{app: 'http://127.0.0.1:1', idempotency: {{store: {redis}}}}}\n"

    assert words(tmp_path, ingress) == ["store_unwritable"]
    assert words(tmp_path, shared) == ["file_unusable"]


def test_fewer_open_files_than_callers_need_are_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.resource, "getrlimit", lambda _: (1024, 1024))

    assert words(tmp_path) == ["open_files_low"]


def test_a_folder_that_could_be_made_is_writable_and_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    assert writable(tmp_path / "a" / "b")
    assert not writable(tmp_path / "file" / "b")
