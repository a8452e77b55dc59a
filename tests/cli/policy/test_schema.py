import json

import pytest
from click.testing import CliRunner

from sidecar.cli import main
from sidecar.governance.review.schema import schema_of


@pytest.mark.parametrize(("arguments", "document"), [([], "policy"), (["policy"], "policy"), (["sidecar"], "sidecar")])
def test_the_schema_is_printed_as_json(arguments: list[str], document: str) -> None:
    result = CliRunner().invoke(main, ["policy", "schema", *arguments])

    assert result.exit_code == 0
    assert json.loads(result.output) == schema_of(document)


def test_a_document_that_has_none_is_named() -> None:
    result = CliRunner().invoke(main, ["policy", "schema", "chart"])

    assert result.exit_code == 2
    assert "'chart' is not one of 'policy', 'sidecar'" in result.output
