"""Whether the kernel's rules of `sidecar intercept` and the transparent listener agree."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from sidecar.doctor.diagnosis import Check, Diagnosis, fine, found, unjudged
from sidecar.governance.policy.snapshot import Snapshot
from sidecar.interception.netfilter import RulesRefused, rules_here

_UID = re.compile(r"(?:skuid|uid-owner) (\d+)")
_TO = re.compile(r"(?:redirect to :|to-ports )(\d+)")
_PORTS = re.compile(r"dport (?:\{ ([\d, ]+) \}|(\d+))")


@dataclass(frozen=True, slots=True)
class Rules:
    """The redirection by the kernel: calls to `ports` come to `to`, but for those of `uid`."""

    ports: tuple[int, ...]
    uid: int
    to: int


def read_rules(text: str) -> Rules | None:
    """The rules as `nft list` or `iptables -S` print them; None where there are none."""
    uid, to = _UID.search(text), _TO.search(text)
    if uid is None or to is None:
        return None
    ports = [int(port) for several, one in _PORTS.findall(text) for port in (several or one).split(",")]
    return Rules(tuple(dict.fromkeys(ports)), int(uid[1]), int(to[1]))


def rules(snapshot: Snapshot, *, sidecar_uid: int | None, intercepted: int | None) -> Iterator[Diagnosis]:
    """Judge them. `sidecar_uid` is that of a sidecar that runs, `intercepted` the connections that it has counted."""
    listeners = {address.port for address in snapshot.egress.transparent}
    try:
        text = rules_here()
    except RulesRefused as error:
        if not listeners:
            return
        if intercepted:
            yield fine(Check.INTERCEPTION, f"{intercepted} connections were intercepted; the rules themselves: {error}")
            return
        cure = "look with NET_ADMIN in this network namespace: nft list table inet retry_sidecar"
        yield unjudged(Check.INTERCEPTION, f"the rules can not be read: {error}", cure)
        return
    there = None if text is None else read_rules(text)
    if there is None:
        if listeners:
            to = min(listeners)
            what = f"egress.transparent listens at port {to}, and no rules lead there"
            yield found("rules_missing", what, f"sidecar intercept --ports 80,8080 --uid {os.geteuid()} --to {to}")
        return
    told = f"TCP to {', '.join(map(str, there.ports))} comes to port {there.to}, but for uid {there.uid}"
    if there.to not in listeners:
        cure = "set egress.transparent (SIDECAR_TRANSPARENT_LISTEN), or take the rules out: sidecar intercept --remove"
        yield found("rules_without_listener", f"{told}; egress.transparent does not listen there", cure)
    elif sidecar_uid is not None and sidecar_uid != there.uid:
        ports = ",".join(map(str, there.ports))
        what = f"{told}; the sidecar runs as uid {sidecar_uid}"
        yield found("rules_uid", what, f"sidecar intercept --ports {ports} --uid {sidecar_uid} --to {there.to}")
    else:
        yield fine(Check.INTERCEPTION, told)
