from hypothesis import given
from hypothesis import strategies as st

from sidecar.engine.policy import DestinationPolicy
from sidecar.governance.documents.route_match import PathTemplate, RouteMatch
from sidecar.proxy.call_routes import CallRoute, CallRoutes

POLICY = DestinationPolicy()


def call(name: str, path: str, *methods: str) -> CallRoute:
    return CallRoute(name, RouteMatch(methods=list(methods), path=PathTemplate.parse(path)), POLICY)


ROUTES = CallRoutes(
    [
        call("latest", "/reports/latest", "GET"),
        call("report", "/reports/{id}", "GET", "HEAD"),
        call("any", "/reports/{id}"),
        call("root", "/"),
    ]
)


def found(method: bytes, target: bytes) -> str | None:
    route = ROUTES.find(method, target)
    return None if route is None else route.name


def test_the_first_route_that_covers_a_request_counts() -> None:
    assert found(b"GET", b"/reports/latest") == "latest"
    assert found(b"GET", b"/reports/7") == "report"
    assert found(b"POST", b"/reports/latest") == "any"
    assert found(b"GET", b"/") == "root"


def test_a_query_is_no_part_of_the_path_and_everything_else_is() -> None:
    assert found(b"GET", b"/reports/7?a=/b/c") == "report"
    assert found(b"GET", b"/?x") == "root"
    assert found(b"GET", b"/reports/7/") is None
    assert found(b"GET", b"/reports/") is None
    assert found(b"GET", b"/Reports/7") is None
    assert found(b"GET", b"/a/b/c/d/e") is None
    assert found(b"OPTIONS", b"*") is None


def test_what_is_known_and_counted_of_a_route_is_kept_by_its_name() -> None:
    before = CallRoutes([call("report", "/reports/{id}"), call("gone", "/x")])
    before.routes[0].lateness.learn(7.0, 0.0)
    before.routes[0].requests[0] = 5
    before.routes[0].attempts = 6

    after = before.adopted([("report", call("", "/v2/reports/{id}").match, DestinationPolicy(timeout=3.0))])

    (route,) = after.routes
    assert route.lateness is before.routes[0].lateness
    assert (route.requests[0], route.attempts, route.policy.timeout) == (5, 6, 3.0)
    assert after.find(b"GET", b"/v2/reports/7") is route


def test_where_there_are_none_nothing_is_looked_for() -> None:
    assert CallRoutes().routes == ()
    assert CallRoutes().find(b"GET", b"/") is None


@given(
    templates=st.lists(
        st.lists(st.sampled_from(["a", "b", "{x}", "a{x}", "{x}:c"]), min_size=1, max_size=3), max_size=6
    ),
    path=st.lists(st.sampled_from(["a", "b", "ab", "a:c", ""]), min_size=1, max_size=3),
)
def test_what_is_found_is_the_first_that_covers_it(templates: list[list[str]], path: list[str]) -> None:
    routes = CallRoutes(call(str(number), "/" + "/".join(parts)) for number, parts in enumerate(templates))
    target = ("/" + "/".join(path)).encode()

    wanted = next((route for route in routes.routes if route.match.covers(b"GET", target)), None)

    assert routes.find(b"GET", target) is wanted
