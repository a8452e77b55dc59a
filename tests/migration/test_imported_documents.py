from tests.fakes.imports import envoy_route, imported, left


def test_each_setting_names_the_line_it_comes_from() -> None:
    text = "resilience4j:\n  timelimiter:\n    instances:\n      pay: {timeoutDuration: 2s}\n"

    (line,) = [line for line in imported(text).policy.splitlines() if "per_attempt_timeout" in line]

    assert line.split("#")[0].strip() == "per_attempt_timeout: 2s"
    assert line.split("#")[1].strip() == 'a.yaml:4 timeoutDuration "2s"'


def test_a_foreign_value_can_not_end_the_comment_it_stands_in() -> None:
    text = 'resilience4j: {timelimiter: {instances: {"a\\nversion: 9 # \\u2028": {timeoutDuration: 2s}}}}\n'

    policy = imported(text).policy

    assert [line for line in policy.splitlines() if line.startswith("version")] == ["version: 1"]


def test_a_destination_without_an_address_has_one_that_says_so() -> None:
    result = imported("resilience4j: {timelimiter: {instances: {pay: {timeoutDuration: 2s}}}}\n")

    (line,) = [line for line in result.sidecar.splitlines() if "endpoints" in line]
    assert line.split("#")[0].strip() == 'endpoints: ["http://pay:80"]'
    assert line.endswith("# stands in: the original says no address")
    assert any("says no address of pay" in note.text for note in left(result))


def test_a_host_leads_to_one_destination() -> None:
    first = envoy_route({"retry_on": "503"})

    result = imported(
        first, first.replace("payments", "ledger").replace('"domains": ["ledger"]', '"domains": ["payments"]')
    )

    assert 'hosts: ["payments"]' in result.sidecar
    assert 'hosts: ["ledger"]' in result.sidecar
    assert any("payments leads to payments" in note.text for note in left(result))
