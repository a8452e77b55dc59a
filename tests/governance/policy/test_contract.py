"""The contract of ingress routes: whose word counts, what bounds it, and where the list may stand."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from sidecar.governance.documents.finding import InvalidDocument
from sidecar.governance.policy.contract import KeyContract
from sidecar.governance.policy.resolve import Source
from sidecar.governance.policy.snapshot import IngressSnapshot, Snapshot, load

NOW = datetime(2026, 12, 1, tzinfo=UTC)
SIDECAR = """\
service: pay
policy: {file: policy.yaml}
ingress:
  listen: "127.0.0.1:0"
  app: "http://127.0.0.1:1"
  idempotency: {store: {sqlite: keys.db}}
"""
POLICY = "version: 3\nowner: platform\n"
ROUTE = "  routes:\n    - {name: create, match: {methods: [POST], path: /pay}, class: at_most_once}\n"


def loaded(folder: Path, sidecar: str, policy: str = POLICY) -> Snapshot:
    (folder / "sidecar.yaml").write_text(sidecar)
    (folder / "policy.yaml").write_text(policy)
    return load(folder / "sidecar.yaml", NOW)


def ingress(folder: Path, sidecar: str, policy: str = POLICY) -> IngressSnapshot:
    found = loaded(folder, sidecar, policy).ingress
    assert found is not None
    return found


def contract(folder: Path, sidecar: str, policy: str = POLICY) -> KeyContract:
    found = ingress(folder, sidecar, policy).routes[0].contract
    assert found is not None
    return found


def test_the_usual_terms_are_strict(tmp_path: Path) -> None:
    terms = contract(tmp_path, SIDECAR + ROUTE)

    assert terms == KeyContract(
        at_most_once=True,
        takes_over=False,
        fails_open=False,
        header=b"idempotency-key",
        pointer=None,
        required=True,
        retention=86400.0,
        rejects=False,
        wait=0.0,
        scope=(b"authorization",),
        ignored=(),
        released_by=frozenset({401, 403, 429}),
        class_name="at_most_once",
    )


def test_the_platform_says_what_holds_and_a_route_says_more(tmp_path: Path) -> None:
    policy = POLICY + "defaults: {idempotency: {retention: 48h, wait: 1s}}\n"
    policy += "destinations: {ingress: {idempotency: {wait: 2s}}}\n"
    route = ROUTE.replace("class: at_most_once", "class: reexecute_ok, wait: 3s")

    usual, special = contract(tmp_path, SIDECAR + ROUTE, policy), contract(tmp_path, SIDECAR + route, policy)

    assert (usual.retention, usual.wait) == (172800.0, 2.0)
    assert (special.retention, special.wait, special.takes_over) == (172800.0, 3.0, True)


def test_a_term_remembers_where_it_came_from(tmp_path: Path) -> None:
    route = ingress(tmp_path, SIDECAR + ROUTE.replace("}\n", ", retention: 36h}\n")).routes[0]

    assert route.resolution is not None
    origin = route.resolution.provenance["idempotency.retention"]
    assert (origin.value, origin.source, origin.line) == ("36h", Source.OVERRIDE, 8)


def test_a_guardrail_binds_a_route(tmp_path: Path) -> None:
    with pytest.raises(InvalidDocument) as caught:
        loaded(tmp_path, SIDECAR + ROUTE.replace("at_most_once}", "at_most_once, retention: 5m}"))

    place = f"{tmp_path / 'sidecar.yaml'}:8: ingress.routes[0].retention: "
    assert str(caught.value) == place + 'must be at least 1h (guardrail, built in), got "5m"'


def test_a_guardrail_of_the_policy_may_say_which_classes_there_are(tmp_path: Path) -> None:
    policy = POLICY + "guardrails: {idempotency.class: {only: [at_most_once]}}\n"

    with pytest.raises(InvalidDocument, match=r"ingress\.routes\[0\]\.class: must be only at_most_once"):
        loaded(tmp_path, SIDECAR + ROUTE.replace("class: at_most_once", "class: best_effort"), policy)


def test_an_exception_lets_a_route_past_a_guardrail(tmp_path: Path) -> None:
    policy = POLICY + (
        "exceptions:\n  - {id: EX-1, service: pay, destination: ingress, setting: idempotency.retention, value: 5m,"
        " reason: a sandbox that is emptied every hour, ticket: T-1, owner: pay, approved_by: [a.lee, b.ortiz],"
        " not_before: 2026-11-24, expires: 2026-12-05}\n"
    )

    assert (
        contract(tmp_path, SIDECAR + ROUTE.replace("at_most_once}", "at_most_once, retention: 5m}"), policy).retention
        == 300
    )


def test_the_version_of_the_contract_rises_with_policy_file_and_the_turns_of_exceptions(tmp_path: Path) -> None:
    exceptions = (
        "exceptions:\n  - {id: EX-1, service: pay, destination: ingress, setting: idempotency.retention, value: 5m,"
        " reason: a sandbox that is emptied every hour, ticket: T-1, owner: pay, approved_by: [a.lee, b.ortiz],"
        " not_before: 2026-11-24, expires: 2026-12-05}\n"
    )
    route = ROUTE.replace("at_most_once}", "at_most_once, retention: 5m}")
    numbered = SIDECAR.replace("ingress:\n", "ingress:\n  contract: {version: 4}\n") + route

    snapshot = loaded(tmp_path, numbered, POLICY + exceptions)
    seen = [snapshot.at(datetime(2026, month, day, tzinfo=UTC)) for month, day in ((11, 1), (11, 24), (12, 5))]

    versions = [str(each.ingress.contract_version) for each in seen if each.ingress is not None]
    assert versions == ["3.4.0", "3.4.1", "3.4.2"]
    digests = [each.ingress.contract["digest"] for each in seen if each.ingress is not None]
    assert digests[0] == digests[2] != digests[1]


def test_the_list_may_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_text(
        "version: 1\nroutes:\n  - {name: create, match: {methods: [POST], path: /pay}, class: at_most_once}\n"
    )

    snapshot = loaded(tmp_path, SIDECAR + "  routes: {file: routes.yaml}\n")

    assert snapshot.ingress is not None
    assert snapshot.ingress.routes[0].name == "create"
    assert tmp_path / "routes.yaml" in snapshot.files


def test_a_finding_about_that_file_names_it(tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_text("version: 1\nroutes:\n  - {name: create, match: {path: pay}}\n")

    with pytest.raises(InvalidDocument, match=r"routes\.yaml:3: routes\[0\]\.match\.path: must be a path"):
        loaded(tmp_path, SIDECAR + "  routes: {file: routes.yaml}\n")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidDocument, match=r"routes\.yaml: can not be read: No such file"):
        loaded(tmp_path, SIDECAR + "  routes: {file: routes.yaml}\n")


def test_a_contract_needs_a_store(tmp_path: Path) -> None:
    text = SIDECAR.replace("  idempotency: {store: {sqlite: keys.db}}\n", "")

    with pytest.raises(InvalidDocument, match=r"ingress\.routes: needs ingress\.idempotency\.store"):
        loaded(tmp_path, text + ROUTE)


def test_the_store_is_relative_to_the_sidecar_file(tmp_path: Path) -> None:
    store = ingress(tmp_path, SIDECAR + ROUTE).key_store

    assert store is not None
    assert (store.kind, store.place, store.lease) == ("sqlite", str(tmp_path / "keys.db"), 30.0)


def test_a_key_may_stand_in_the_body(tmp_path: Path) -> None:
    terms = contract(tmp_path, SIDECAR + ROUTE.replace("class: at_most_once", "key: {pointer: /event/id}"))

    assert (terms.header, terms.pointer) == (b"", ("event", "id"))
