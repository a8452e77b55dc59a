from pathlib import Path

from click.testing import CliRunner

from sidecar.cli.policy import policy
from sidecar.demo.charges.gate_settings import write_gate


def test_the_documents_pass_the_check_that_everyone_elses_must_pass(tmp_path: Path) -> None:
    document = write_gate(tmp_path, admin=16000, egress=16001, port=16006, service=9001)

    checked = CliRunner().invoke(policy, ["check", str(document)])

    assert checked.exit_code == 0, checked.output
    assert "class: at_most_once" in document.read_text()
