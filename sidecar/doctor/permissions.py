"""Whether this user may read, write and open what the sidecar needs. It is asked, never tried."""

import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path

from msgspec import UNSET

from sidecar.admin.token import AdminToken
from sidecar.doctor.diagnosis import Check, Diagnosis, fine, found
from sidecar.governance.documents.finding import InvalidDocument
from sidecar.governance.policy.bootstrap import Bootstrap
from sidecar.governance.policy.snapshot import Snapshot
from sidecar.governance.trust.certificates import read_certificates
from sidecar.proxy.open_files import caller_connections


def permissions(bootstrap: Bootstrap, snapshot: Snapshot) -> Iterator[Diagnosis]:
    """Judge files, folders and limits as the user that runs this."""
    troubles = [
        *_certificates(snapshot),
        *_token(snapshot.admin_token_file),
        *_secrets(snapshot),
        *_cache(bootstrap),
        *_open_files(snapshot),
    ]
    yield from troubles
    if not troubles:
        yield fine(Check.PERMISSIONS, f"files, folders and limits, as uid {os.geteuid()}")


def writable(folder: Path) -> bool:
    """Whether files can be made in it, or it could be made where it is not there yet."""
    for place in (folder, *folder.parents):
        if place.exists():
            return place.is_dir() and os.access(
                place, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids
            )
    return False


def _certificates(snapshot: Snapshot) -> Iterator[Diagnosis]:
    for files in snapshot.certificate_files:
        try:
            read_certificates(files)
        except InvalidDocument as error:
            for finding in error.findings:
                yield found("file_unusable", str(finding), "put the right file there, readable for this user: ls -l")
        if files.key is not None and _open_to_others(files.key.path):
            path = files.key.path
            yield found("key_exposed", f"{files.key.field} {path}: every user may read it", f"chmod o= {path}")


def _token(file: Path | None) -> Iterator[Diagnosis]:
    if file is None:
        home = Path(os.environ.get("XDG_RUNTIME_DIR") or os.environ.get("TMPDIR") or "/tmp")  # noqa: S108 - asked only
        if not writable(home):
            cure = "mount a token and name it: admin.token_file"
            yield found("token_none", f"no token is named, and none can be made in {home}", cure)
        return
    try:
        AdminToken(file).prepare(0)  # reads a file that is named, and makes none
    except OSError as error:
        cure = f"write one that only the sidecar's user may read: (umask 077; openssl rand -hex 32 >{file})"
        yield found("file_unusable", error.strerror or str(error), cure)
        return
    if _open_to_others(file):
        yield found("token_exposed", f"admin.token_file {file}: every user may read it", f"chmod 600 {file}")


def _secrets(snapshot: Snapshot) -> Iterator[Diagnosis]:
    store = None if snapshot.ingress is None else snapshot.ingress.key_store
    if store is None:
        return
    for name, file in (("password_file", store.password_file), ("encryption_key_file", store.encryption_key_file)):
        if file is not None and not os.access(file, os.R_OK):
            what = f"ingress.idempotency.{name} {file}: is not there, or this user may not read it"
            yield found("file_unusable", what, f"mount it, readable for uid {os.geteuid()}: ls -l {file}")
    if store.kind == "sqlite":
        place = Path(store.place)
        if not writable(place.parent) or (place.exists() and not os.access(place, os.R_OK | os.W_OK)):
            cure = f"let uid {os.geteuid()} own it: chown -R {os.geteuid()} {place.parent}; in Kubernetes, fsGroup"
            yield found("store_unwritable", f"ingress.idempotency.store.sqlite {place}: can not be written", cure)


def _cache(bootstrap: Bootstrap) -> Iterator[Diagnosis]:
    settings = bootstrap.policy
    if settings is None or settings.cache is UNSET:
        return
    folder = bootstrap.policy_path(settings.cache)
    if not writable(folder):
        cure = f"let uid {os.geteuid()} own it: chown -R {os.geteuid()} {folder}; in Kubernetes, an emptyDir"
        yield found("cache_unwritable", f"policy.cache {folder}: can not be written", cure)


def _open_files(snapshot: Snapshot) -> Iterator[Diagnosis]:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY:
        return
    room = caller_connections(most)
    if room < snapshot.limits.connections:
        needed = 2 * snapshot.limits.connections + 192
        yield found(
            "open_files_low",
            f"{most} open files have room for {room} callers, limits.connections is {snapshot.limits.connections}",
            f"ulimit -Hn {needed} before it starts (LimitNOFILE={needed} of systemd), or a lower limits.connections",
        )


def _open_to_others(file: Path) -> bool:
    try:
        return bool(file.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
