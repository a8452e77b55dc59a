"""The contract as partners read it: `GET /.well-known/idempotency`, made from the routes in force.

Its `version` rises with every change, though a pod remembers nothing and many pods say the same: it is made of numbers
that rise, and that are written down. `POLICY.FILE.TURNS` are the version of the platform's policy, that of the contract
in the sidecar file (`ingress.contract.version`), and how many times an exception to the terms has begun or ended under
that policy; they are compared number by number. `digest` is of the terms alone: it changes with them and with nothing
else, and the sidecar file may name it, so that its own number can not be forgotten.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from msgspec import Struct

from sidecar.governance.documents.egress_keys import MAX_KEY_CHARACTERS
from sidecar.governance.documents.units import Duration, Size
from sidecar.governance.policy.contract import IngressRoute, KeyContract

FORM: Final = 1
"""Of the document, and of all in it that no document says: raised when a release of the sidecar changes any of that."""
DIGEST_CHARACTERS: Final = 16
_VERSION: Final = re.compile(r"(0|[1-9][0-9]*)[.](0|[1-9][0-9]*)[.](0|[1-9][0-9]*)")
ANSWERS: Final[Mapping[str, int]] = {
    "key_missing": 400,
    "key_malformed": 400,
    "key_reused": 422,
    "in_flight": 409,
    "outcome_unknown": 409,
    "key_expired": 410,
    "body_too_large": 413,
    "store_unavailable": 503,
}
"""The answers that stand in place of a run, by reason: `urn:retry-sidecar:problem:REASON`."""


class ContractVersion(Struct, frozen=True):
    """The three numbers, in the order in which they count: see above."""

    policy: int = 0
    file: int = 1
    turns: int = 0

    def __str__(self) -> str:
        return f"{self.policy}.{self.file}.{self.turns}"


def partner_contract(
    routes: Sequence[IngressRoute], max_request_bytes: int, version: ContractVersion
) -> dict[str, Any]:
    """The document."""
    terms = {
        "form": FORM,
        "routes": [_route(route, route.contract) for route in routes if route.contract is not None],
        "answers": dict(ANSWERS),
        "replay_header": "Idempotent-Replayed: true",
        "max_key_length": MAX_KEY_CHARACTERS,
        "max_request": str(Size(max_request_bytes)),
    }
    return {"version": str(version), "digest": digest_of_terms(terms), **terms}


def digest_of_terms(document: Mapping[str, Any]) -> str:
    """Of all that a contract says but its version."""
    terms = {name: value for name, value in document.items() if name not in ("version", "digest")}
    return sha256(json.dumps(terms, sort_keys=True).encode()).hexdigest()[:DIGEST_CHARACTERS]


def _route(route: IngressRoute, contract: KeyContract) -> dict[str, Any]:
    key = (
        {"header": contract.header.decode("ascii")}
        if contract.pointer is None
        else {"pointer": _pointer(contract.pointer)}
    )
    return {
        "name": route.name,
        "methods": list(route.match.methods),
        "path": str(route.match.path),
        "key": key,
        "required": contract.required,
        "class": contract.class_name,
        "retention": str(Duration(contract.retention)),
        "after_retention": "reject" if contract.rejects else "new",
        "scope": [name.decode("ascii") for name in contract.scope],
        "redacted": sorted(
            (
                *map(_pointer, contract.redaction.pointers),
                *(name.decode("ascii") for name in contract.redaction.headers),
            )
        ),
    }


def _pointer(tokens: Sequence[str]) -> str:
    return "".join(f"/{token.replace('~', '~0').replace('/', '~1')}" for token in tokens)


FIRST_VERSION: Final = ContractVersion()


class ContractChange(Struct, frozen=True):
    """One difference between two contracts. `breaks`: a partner who keeps to the old one is hurt by it."""

    breaks: bool
    route: str
    what: str

    def __str__(self) -> str:
        where = f"{self.route}: " if self.route else ""
        return f"{'breaking' if self.breaks else 'safe'}: {where}{self.what}"


def contract_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[ContractChange]:
    """The differences, the breaking ones and the others. Raises ValueError for what is no such document."""
    before, after = _routes(old), _routes(new)
    for name, route in before.items():
        if name not in after:
            yield ContractChange(breaks=True, route=name, what="is under no contract any more")
        else:
            yield from _route_changes(name, route, after[name])
    for name in after.keys() - before.keys():
        needed = bool(after[name].get("required"))
        yield ContractChange(breaks=needed, route=name, what=f"is new{', and requires a key' if needed else ''}")
    for reason, status in old.get("answers", {}).items():
        now = new.get("answers", {}).get(reason)
        if now != status:
            yield ContractChange(breaks=True, route="", what=f"{reason} is answered {now}, was {status}")
    for word in ("max_key_length", "max_request"):
        one, other = _amount(old.get(word)), _amount(new.get(word))
        if one != other:
            yield ContractChange(breaks=other < one, route="", what=f"{word} is {new.get(word)}, was {old.get(word)}")
    yield from _version_changes(old, new)
    if old.get("replay_header") != new.get("replay_header"):
        yield ContractChange(breaks=True, route="", what=f"replays are marked {new.get('replay_header')!r}")


def _version_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[ContractChange]:
    """That the terms are others, and the number by which partners are to notice does not say so."""
    before, after = (_VERSION.fullmatch(str(each.get("version"))) for each in (old, new))
    if before is None or after is None or digest_of_terms(old) == digest_of_terms(new):
        return  # a version of before there were numbers is less than any
    if [int(part) for part in after.groups()] <= [int(part) for part in before.groups()]:
        what = f"version must rise, for the terms are others: it is {after[0]}, was {before[0]}"
        yield ContractChange(breaks=True, route="", what=what)


def _route_changes(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[ContractChange]:
    for word in ("methods", "path", "key", "scope", "class"):
        if old.get(word) != new.get(word):
            breaks = not (word == "methods" and set(old["methods"]) <= set(new["methods"]) and old["methods"])
            yield ContractChange(
                breaks, name, f"{word} is {json.dumps(new.get(word))}, was {json.dumps(old.get(word))}"
            )
    hidden, seen = (set(each.get("redacted", ())) for each in (new, old))
    if hidden != seen:
        names, before = (", ".join(sorted(each)) or "nothing" for each in (hidden, seen))
        yield ContractChange(bool(hidden - seen), name, f"replays lack {names}, lacked {before}")
    one, other = (Duration.parse(each.get("retention")) for each in (old, new))
    if one != other:
        yield ContractChange(other < one, name, f"retention is {other}, was {one}")
    if old.get("required") != new.get("required"):
        yield ContractChange(
            bool(new.get("required")), name, f"a key is {'' if new.get('required') else 'not '}required"
        )
    if old.get("after_retention") != new.get("after_retention"):
        rejects = new.get("after_retention") == "reject"
        yield ContractChange(rejects, name, f"after retention a key is {'rejected' if rejects else 'new'}")


def _routes(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    if (
        not isinstance(document, Mapping)
        or document.get("form") != FORM
        or not isinstance(document.get("routes"), list)
    ):
        raise ValueError(f"is no contract of form {FORM}, as /.well-known/idempotency has it")
    try:
        return {str(route["name"]): route for route in document["routes"]}
    except (TypeError, KeyError):
        raise ValueError("has a route without a name") from None


def _amount(written: object) -> int:
    return int(Size.parse(written)) if isinstance(written, str) else int(str(written or 0))
