import pytest

from sidecar.migration.route_paths import exact_match, exact_template, regex_match


@pytest.mark.parametrize(
    ("pattern", "template"),
    [
        ("/books/[^/]*", "/books/{p2}"),
        (r"^/v1/\d+/items$", "/v1/{p2}/items"),
        (r"/authors/\d+\.json", "/authors/{p2}.json"),
        ("/books", "/books"),
        ("/a/([^/]+)/b", "/a/{p2}/b"),
    ],
)
def test_a_pattern_within_segments_is_a_template(pattern: str, template: str) -> None:
    match = regex_match(pattern, [])

    assert match is not None
    assert match.path == template


@pytest.mark.parametrize("pattern", ["/a.*", ".*", "/a|/b", "/(a|b)", "/a?", "/[ab]/c", r"/\d+\d+", "books", ""])
def test_a_pattern_that_says_more_is_none(pattern: str) -> None:
    assert regex_match(pattern, []) is None


def test_a_path_with_braces_is_no_template() -> None:
    match = exact_match("/a/{b}", ["GET"])

    assert match is not None
    assert match.text == "GET /a/%7Bb%7D"
    assert exact_template("/a/{b}", []) is not None


def test_what_is_no_path_is_none() -> None:
    assert exact_match("a?b", []) is None
