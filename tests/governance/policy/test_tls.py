"""What the documents say about TLS."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from sidecar.governance.documents.finding import InvalidDocument
from sidecar.governance.policy.tls import USUAL
from tests.fakes.documents import EXCEPTION, POLICY, SIDECAR, Loading

HTTPS = SIDECAR.replace("http://payments:8080", "https://payments:8443")
TLS = HTTPS + "    tls: {%s}\n"
INGRESS = "ingress: {listen: '0.0.0.0:16006', app: '%s'%s}\n"


def refusal(loading: Loading, sidecar: str, policy: str = POLICY) -> list[str]:
    with pytest.raises(InvalidDocument) as caught:
        loading(sidecar=sidecar, policy=policy)
    return str(caught.value).splitlines()


def test_an_https_endpoint_is_verified_by_the_systems_authorities_from_tls_1_2_on(loading: Loading) -> None:
    tls = loading(sidecar=HTTPS).destinations["payments"].tls

    assert tls == USUAL
    assert (tls.min_version, tls.server_name, tls.verify) == ("1.2", None, True)
    assert list(tls.files) == []


def test_files_are_relative_to_the_folder_of_the_document_and_need_not_be_there(loading: Loading) -> None:
    text = TLS % "ca: pki/ca.pem, cert: c.pem, key: /k.pem, min_version: 1.3, server_name: ledger.internal"

    tls = loading(sidecar=text).destinations["payments"].tls

    assert [file.path for file in tls.files] == [Path("pki/ca.pem"), Path("c.pem"), Path("/k.pem")]
    assert tls.files.ca is not None
    assert str(tls.files.ca.finding("must be good")) == (
        'sidecar.yaml:6: destinations.payments.tls.ca: must be good, got "pki/ca.pem"'
    )
    assert (tls.min_version, tls.server_name) == ("1.3", "ledger.internal")


@pytest.mark.parametrize(
    ("said", "finding"),
    [
        ("cert: c.pem", "destinations.payments.tls.cert: goes with key: a certificate can only be shown with its key"),
        ("key: k.pem", "destinations.payments.tls.key: goes with cert: a certificate can only be shown with its key"),
        ("min_version: 1.1", "destinations.payments.tls.min_version: must be 1.2 or 1.3, got 1.1"),
        ("verify: false", "destinations.payments.tls.verify: is not known"),
        ("server_name: 'a b'", "destinations.payments.tls.server_name: must be a host name"),
        ("ca: ''", "destinations.payments.tls.ca: must not be empty"),
    ],
)
def test_what_is_wrong_is_named(loading: Loading, said: str, finding: str) -> None:
    (line,) = refusal(loading, TLS % said)

    assert line.startswith(f"sidecar.yaml:6: {finding}")


def test_tls_is_for_https_endpoints(loading: Loading) -> None:
    assert refusal(loading, SIDECAR + "    tls: {ca: ca.pem}\n") == [
        "sidecar.yaml:6: destinations.payments.tls: is for https endpoints, and the destination has none"
    ]


# Verification


UNVERIFIED = HTTPS + "    overrides: {tls: {verify: false}}\n"


def test_a_team_can_not_switch_verification_off(loading: Loading) -> None:
    (line,) = refusal(loading, UNVERIFIED)

    assert line.startswith(
        "sidecar.yaml:6: destinations.payments.overrides.tls.verify: must be only true (guardrail, built in)"
    )


@pytest.mark.parametrize(
    "place", ["defaults: {tls: {verify: false}}", "destinations: {payments: {tls: {verify: false}}}"]
)
def test_nor_can_the_platform_in_passing(loading: Loading, place: str) -> None:
    (line,) = refusal(loading, HTTPS, POLICY + place + "\n")

    assert "tls.verify: must be only true (guardrail, built in)" in line


@pytest.mark.parametrize("form", ["{only: [true, false]}", "{only: [false]}", "{fixed: true}"])
def test_nor_by_another_guardrail(loading: Loading, form: str) -> None:
    (line,) = refusal(loading, HTTPS, POLICY + f"guardrails: {{tls.verify: {form}}}\n")

    assert line.startswith("policy.yaml:3: guardrails.tls.verify: must stay as it is built in, {only: [true]}")


LEAVE = EXCEPTION.replace("budget.ratio", "tls.verify").replace("0.35", "false")


def test_a_live_exception_switches_it_off_and_every_start_says_so(loading: Loading) -> None:
    snapshot = loading(sidecar=UNVERIFIED, policy=POLICY + LEAVE)

    assert not snapshot.destinations["payments"].tls.verify
    assert snapshot.warnings == (
        "destinations.payments: certificates are not verified, by leave of exception EX-1 (sidecar.yaml:6)",
    )


def test_when_it_is_over_everything_is_verified_again_without_anybody_reading_anything(loading: Loading) -> None:
    before = loading(sidecar=UNVERIFIED, policy=POLICY + LEAVE)

    after = before.at(datetime(2026, 12, 5, tzinfo=UTC))

    assert after.destinations["payments"].tls.verify
    assert not any("not verified" in warning for warning in after.warnings)


def test_an_exception_for_another_destination_is_none_for_this_one(loading: Loading) -> None:
    (line,) = refusal(loading, UNVERIFIED, POLICY + LEAVE.replace("destination: payments", "destination: ledger"))

    assert "tls.verify: must be only true" in line


# Ingress


def test_the_ingress_has_its_own_certificate(loading: Loading) -> None:
    tls = ", tls: {cert: c.pem, key: k.pem, client_ca: ca.pem}"

    ingress = loading(sidecar=SIDECAR + INGRESS % ("http://127.0.0.1:8080", tls)).ingress

    assert ingress is not None
    assert ingress.tls is not None
    assert [(file.field, file.path.name) for file in ingress.tls.files] == [
        ("ingress.tls.client_ca", "ca.pem"),
        ("ingress.tls.cert", "c.pem"),
        ("ingress.tls.key", "k.pem"),
    ]


def test_without_one_it_speaks_in_clear(loading: Loading) -> None:
    ingress = loading(sidecar=SIDECAR + INGRESS % ("http://127.0.0.1:8080", "")).ingress

    assert ingress is not None
    assert ingress.tls is None


@pytest.mark.parametrize(
    ("app", "tls", "finding"),
    [
        ("https://127.0.0.1:8443", "", "ingress.app: must be http: it is on this machine"),
        ("http://127.0.0.1:8080", ", tls: {cert: c.pem}", "ingress.tls.key: is required"),
        ("http://127.0.0.1:16001", "", "ingress.app: must not be the sidecar itself, which listens there"),
    ],
)
def test_an_ingress_that_can_not_be_is_refused(loading: Loading, app: str, tls: str, finding: str) -> None:
    (line,) = refusal(loading, SIDECAR + INGRESS % (app, tls))

    assert finding in line


def test_no_destination_is_called_ingress(loading: Loading) -> None:
    (line,) = refusal(loading, SIDECAR.replace("payments:\n", "ingress:\n"))

    assert "destinations.ingress: is a reserved name" in line
