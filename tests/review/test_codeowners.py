import pytest

from sidecar.review.codeowners import code_owners, may_sign


@pytest.mark.parametrize(
    ("pattern", "path", "owned"),
    [
        ("*", "a/b/openapi.yaml", True),
        ("*.yaml", "a/openapi.yaml", True),
        ("*.yaml", "a/openapi.json", False),
        ("/api/", "api/v1/openapi.yaml", True),
        ("/api/", "other/api/openapi.yaml", False),
        ("api/", "other/api/openapi.yaml", True),
        ("/api/*.yaml", "api/openapi.yaml", True),
        ("/api/*.yaml", "api/v1/openapi.yaml", False),
        ("/api/**/openapi.yaml", "api/v1/v2/openapi.yaml", True),
        ("/api/**/openapi.yaml", "api/openapi.yaml", True),
        ("/api/**", "api/v1/x", True),
        ("openapi.yaml", "deep/openapi.yaml", True),
        ("docs/api", "docs/api/x.yaml", True),
        ("/open?pi.yaml", "openapi.yaml", True),
        ("/openapi.yaml", "openapi.yaml.bak", False),
        ("/a.b", "axb", False),
    ],
)
def test_a_pattern_is_that_of_gitignore(pattern: str, path: str, *, owned: bool) -> None:
    assert (code_owners(f"{pattern} @a\n", "CODEOWNERS").of(path) == ("@a",)) is owned


def test_the_last_match_counts_and_comments_do_not() -> None:
    owners = code_owners(
        "# all\n* @all   # everything\n/api/ @org/payments b@example.com\n/api/open.yaml\n", "CODEOWNERS"
    )

    assert owners.of("README.md") == ("@all",)
    assert owners.of("api/x.yaml") == ("@org/payments", "b@example.com")
    assert owners.of("api/open.yaml") == ()


def test_a_section_gives_its_owners_to_what_has_none() -> None:
    owners = code_owners("[Payments][2] @a @b\n/api/\n/other/ @c\n", "CODEOWNERS")

    assert owners.of("api/x") == ("@a", "@b")
    assert owners.of("other/x") == ("@c",)


def test_a_person_signs_by_name_or_by_team() -> None:
    teams = {"@org/payments": ["a.lee", "@b.ortiz"]}

    assert may_sign("A.Lee", ["@a.lee"], {})
    assert may_sign("b.ortiz", ["@Org/Payments"], teams)
    assert may_sign("@org/payments", ["@org/payments"], {})
    assert not may_sign("c", ["@org/payments"], teams)
    assert not may_sign("a.lee", ["@org/payments"], {})
