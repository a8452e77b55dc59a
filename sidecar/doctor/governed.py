"""The policy as a sidecar would take it now: its source, signature, guardrails, age, and the copy that is kept.

The source is asked as `sidecar run` asks it. Nothing is remembered: the cache is read, and never written.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from msgspec import UNSET, structs

from sidecar.doctor.diagnosis import Check, Diagnosis, fine, found
from sidecar.governance.documents.document import PolicySettings
from sidecar.governance.documents.finding import InvalidDocument
from sidecar.governance.loading.loader import Loaded, PolicyLoader
from sidecar.governance.loading.policy_cache import CacheFault, Memory, PolicyCache
from sidecar.governance.loading.standing import RolloutState
from sidecar.governance.policy.bootstrap import Bootstrap
from sidecar.governance.policy.delivery import Unreachable
from sidecar.governance.policy.snapshot import Snapshot, baseline
from sidecar.net import redacted

_SOON: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class PolicyStart:
    """The findings, and the snapshot that a sidecar would begin with: the policy's, or the built-in one's."""

    snapshot: Snapshot
    diagnoses: tuple[Diagnosis, ...]


async def governed(bootstrap: Bootstrap, pod: str, now: datetime) -> PolicyStart:
    """Load the policy without keeping anything. Raises InvalidDocument where it is the service's word that is wrong."""
    settings = bootstrap.policy
    memory, spoiled = (None, ()) if settings is None else _recalled(bootstrap, settings)
    try:
        loaded = await PolicyLoader(_forgetful(bootstrap), pod, wall=lambda: now).load()
    except InvalidDocument as error:
        if settings is None:
            raise
        return PolicyStart(baseline(bootstrap, now), (*spoiled, *_refused(error, settings, memory)))
    return PolicyStart(loaded.snapshot, (*spoiled, *_judged(bootstrap, loaded, memory, now)))


def _forgetful(bootstrap: Bootstrap) -> Bootstrap:
    """The same without a cache."""
    settings = bootstrap.policy
    if settings is None or settings.cache is UNSET:
        return bootstrap
    without = structs.replace(settings, cache=UNSET)
    if bootstrap.authority is not None:
        return structs.replace(bootstrap, authority=structs.replace(bootstrap.authority, policy=without))
    return structs.replace(bootstrap, sidecar=structs.replace(bootstrap.sidecar, policy=without))


def _recalled(bootstrap: Bootstrap, settings: PolicySettings) -> tuple[Memory | None, tuple[Diagnosis, ...]]:
    """The cache's memory of this source, and the findings about it."""
    if settings.cache is UNSET:
        if settings.url is UNSET:
            return None, ()
        cure = "name a folder that outlives the container: policy.cache, or SIDECAR_POLICY_CACHE"
        return None, (found("policy_without_cache", "the policy is at an address, and no copy of it is kept", cure),)
    source = str(bootstrap.policy_file if settings.url is UNSET else settings.url)
    folder = bootstrap.policy_path(settings.cache)
    try:
        return PolicyCache(folder, bootstrap.sidecar.service).recall(source), ()
    except CacheFault as fault:
        return None, (found("cache_spoiled", str(fault), f"move the file away and restart: mv {folder} {folder}.old"),)


def _refused(error: InvalidDocument, settings: PolicySettings, memory: Memory | None) -> Iterator[Diagnosis]:
    word = "policy_unreachable" if isinstance(error, Unreachable) else "policy_refused"
    kept = None if memory is None else memory.current
    copy = "no copy is kept" if kept is None else f"a copy of version {kept.version} is kept"
    for finding in error.findings:
        if word == "policy_refused":
            cure = f"mend it, and judge it before it is rolled out: sidecar policy check {finding.file}"
        elif settings.url is UNSET:
            cure = f"put the policy there, or name the file rightly (policy.file, SIDECAR_POLICY): ls -l {finding.file}"
        else:
            cure = f"ask for it where the sidecar runs: curl -sSI {redacted(str(settings.url))}"
        yield found(word, f"{finding} ({copy})", cure)


def _judged(bootstrap: Bootstrap, loaded: Loaded, memory: Memory | None, now: datetime) -> Iterator[Diagnosis]:
    snapshot, settings = loaded.snapshot, bootstrap.policy
    if settings is None:
        cure = "name one: policy.file or policy.url in the sidecar file, SIDECAR_POLICY; `sidecar init` writes one"
        yield found("policy_built_in", "no policy is named", cure)
        return
    source = str(bootstrap.policy_file) if settings.url is UNSET else redacted(str(settings.url))
    if memory is not None and snapshot.version < memory.version:
        what = f"{source} has version {snapshot.version}, and {memory.version} was seen here"
        yield found("policy_rollback", what, f"give the older rules a version above {memory.version}")
    if loaded.rollout not in (RolloutState.NONE, RolloutState.ADOPTED):
        what = f"version {loaded.offered} is {loaded.rollout.value} here"
        yield found("policy_held", what, "wait for the roll-out, or see who has it: sidecar policy explain")
    if snapshot.expires is not None:
        told = f"{source}: its owners, {snapshot.owner}, wanted it replaced by {snapshot.expires:%Y-%m-%d %H:%M} UTC"
        cure = f"ask {snapshot.owner} for a version that lasts longer"
        if now >= snapshot.expires:
            yield found("policy_expired", told, cure)
        elif snapshot.expires - now < _SOON:
            yield found("policy_expires", told, cure)
    if snapshot.outdated:
        what = f"the policy asks for {snapshot.min_sidecar} or newer"
        yield found("sidecar_outdated", what, "upgrade the sidecar: docs/install.md#upgrade")
    for findings in snapshot.left_out.values():
        for finding in findings:
            cure = "take the override out, or have the exception renewed: sidecar policy explain"
            yield found("override_left_out", str(finding), cure)
    if not settings.keys:
        cure = "pin keys where the source is named (policy.keys), and sign: sidecar policy sign"
        yield found("policy_unsigned", f"{source} need not be signed", cure)
    if not snapshot.managed:
        cure = "mount the platform's authority file, /etc/sidecar/authority.yaml: docs/policy-sources.md"
        yield found("policy_unmanaged", "no authority file of the platform is there", cure)
    signed = f", signed by {settings.required} of {len(settings.keys)} keys" if settings.keys else ""
    yield fine(
        Check.POLICY, f"version {snapshot.version} of {snapshot.owner} from {source}{signed}, inside its guardrails"
    )
