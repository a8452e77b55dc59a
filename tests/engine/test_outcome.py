import pytest

from sidecar.engine.outcome import AttemptKind, Result, result_of


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (200, Result.SUCCESS),
        (304, Result.SUCCESS),
        (399, Result.SUCCESS),
        (400, Result.CLIENT_ERROR),
        (429, Result.CLIENT_ERROR),
        (499, Result.CLIENT_ERROR),
        (500, Result.SERVER_ERROR),
        (503, Result.SERVER_ERROR),
        (599, Result.SERVER_ERROR),
    ],
)
def test_a_delivered_status_amounts_to_a_result(status: int, result: Result) -> None:
    assert result_of(status) is result


def test_the_words_that_are_shown_are_lower_case() -> None:
    assert [kind.label for kind in AttemptKind] == ["first", "retry", "reconnect"]
    assert [result.label for result in Result] == [
        "success",
        "client_error",
        "server_error",
        "fault",
        "refused",
        "abandoned",
        "superseded",
    ]


@pytest.mark.parametrize("enumeration", [AttemptKind, Result])
def test_the_numbers_index_a_list(enumeration: type[AttemptKind] | type[Result]) -> None:
    assert [int(member) for member in enumeration] == list(range(len(enumeration)))
