"""Path templates: what they match, what they refuse, and that no path makes them slow."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.governance.documents.route_match import PathTemplate, RouteMatch, path_of


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("/", b"/"),
        ("/v1/payments", b"/v1/payments"),
        ("/v1/payments/{id}", b"/v1/payments/17"),
        ("/v1/payments/{id}", b"/v1/payments/a%2Fb"),
        ("/v1/payments/{id}:cancel", b"/v1/payments/17:cancel"),
        ("/v1/payments/{id}:cancel", b"/v1/payments/:cancel:cancel"),
        ("/{a}/x/{b}", b"/1/x/2"),
        ("/{from}-{to}", b"/1-2-3"),
        ("/v1/", b"/v1/"),
    ],
)
def test_a_template_matches_paths_of_its_form(template: str, path: bytes) -> None:
    assert PathTemplate.parse(template).matches(path)


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("/v1/payments", b"/v1/payments/"),
        ("/v1/payments/", b"/v1/payments"),
        ("/v1/payments/{id}", b"/v1/payments/"),
        ("/v1/payments/{id}", b"/v1/payments/17/refunds"),
        ("/v1/payments/{id}:cancel", b"/v1/payments/:cancel"),
        ("/v1/payments/{id}:cancel", b"/v1/payments/17"),
        ("/{from}-{to}", b"/-2"),
        ("/{from}-{to}", b"/1-"),
        ("/v1", b"*"),
        ("/v1", b"/V1"),
    ],
)
def test_a_template_matches_nothing_else(template: str, path: bytes) -> None:
    assert not PathTemplate.parse(template).matches(path)


@pytest.mark.parametrize(
    "written", ["", "v1", "/a?b", "/a#b", "/{a}{b}", "/{}", "/{a", "/a}", "/ä", "/a b", "/%zz", 7, "/" + "a" * 2001]
)
def test_what_is_no_template_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="must"):
        PathTemplate.parse(written)


@given(
    st.lists(
        st.lists(st.sampled_from(["{a}", "x", "-", "xx"]), min_size=1, max_size=4).map("".join), min_size=1, max_size=3
    ).map(lambda parts: "/" + "/".join(parts)),
    st.text("x-/y", max_size=12).map(lambda rest: "/" + rest),
)
def test_a_template_matches_what_its_regular_expression_matches(template: str, path: str) -> None:
    if "}{" in template:
        return
    pattern = "[^/]+".join(re.escape(part) for part in template.split("{a}"))

    matched = PathTemplate.parse(template).matches(path.encode())

    assert matched == (re.fullmatch(pattern, path) is not None)


def test_a_match_without_methods_is_for_all_of_them() -> None:
    match = RouteMatch(path=PathTemplate.parse("/a"))

    assert match.covers(b"POST", b"/a")
    assert match.covers(b"BREW", b"/a")


def test_a_match_with_methods_is_for_these() -> None:
    match = RouteMatch(methods=["POST", "PATCH"], path=PathTemplate.parse("/a"))

    assert match.covers(b"PATCH", b"/a")
    assert not match.covers(b"PUT", b"/a")


def test_the_path_of_a_target_ends_where_its_query_begins() -> None:
    assert path_of(b"/a/b?c=/d") == b"/a/b"
    assert path_of(b"/a/b") == b"/a/b"
