import json

from click.testing import CliRunner
from jsonschema import Draft202012Validator

from sidecar.cli import main
from sidecar.governance.documents.yaml import parse
from tests.review.descriptions import RULES_FILE


def test_the_shipped_rules_keep_the_schema_that_is_printed() -> None:
    schema = json.loads(CliRunner().invoke(main, ["gate", "schema"]).output)

    assert list(Draft202012Validator(schema).iter_errors(parse(RULES_FILE.read_bytes(), "gate.yaml").value)) == []
    assert [
        *Draft202012Validator(schema).iter_errors({"version": 1, "owner": "x", "effects": ["a"], "rules": [{}]})
    ] != []
