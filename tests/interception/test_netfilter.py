"""Rules in the kernel: each test has a network namespace of its own, which the process that it starts is alone in."""

import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.doctor.rules import Rules, read_rules
from sidecar.interception import netfilter
from sidecar.interception.netfilter import RulesRefused
from sidecar.interception.redirection import Redirection

_IN_A_NAMESPACE = ["unshare", "--net", sys.executable, "-c"]

_WRITE_TWICE_AND_REMOVE = """
import subprocess, sys
from sidecar.interception import netfilter
from sidecar.interception.redirection import Redirection
backend = sys.argv[1]
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
def rules():
    tools = [["nft", "list", "ruleset"]]
    if backend == "iptables":
        tools = [["iptables-save", "-t", "nat"], ["ip6tables-save", "-t", "nat"]]
    return "".join(subprocess.run(tool, capture_output=True, text=True, check=True).stdout for tool in tools)
netfilter.remove(backend)
netfilter.write(Redirection((80,), 7, 16007), backend)
netfilter.write(Redirection((80, 8080), 65532, 16007), backend)
print(rules())
print("====")
netfilter.remove(backend)
netfilter.remove(backend)
print(rules())
"""


@pytest.mark.parametrize(("backend", "redirects"), [("nft", 1), ("iptables", 4), ("netlink", 2)])
def test_rules_are_written_again_in_place_of_themselves_and_taken_out(backend: str, redirects: int) -> None:
    done = subprocess.run(
        [*_IN_A_NAMESPACE, _WRITE_TWICE_AND_REMOVE, backend], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr
    written, removed = done.stdout.split("====")
    assert written.lower().count("redirect") == redirects
    assert "65532" in written
    assert " 7 " not in written
    assert written.count("-A OUTPUT -p tcp -j RETRY_SIDECAR") == (2 if backend == "iptables" else 0)
    assert "sidecar" not in removed.lower()


def test_the_rules_of_others_are_left_alone() -> None:
    script = """
import subprocess
from sidecar.interception import netfilter
from sidecar.interception.redirection import Redirection
subprocess.run(["nft", "add table inet mine"], check=True)
netfilter.write(Redirection((80,), 7, 16007), "nft")
netfilter.remove("nft")
print(subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True).stdout)
"""
    done = subprocess.run([*_IN_A_NAMESPACE, script], capture_output=True, text=True, timeout=60, check=False)

    assert done.stdout.split() == ["table", "inet", "mine", "{", "}"], done.stderr


@pytest.mark.parametrize("hidden", ["", "nft"])
def test_the_rules_in_force_are_listed(hidden: str) -> None:
    script = """
import shutil, sys
from sidecar.interception import netfilter
from sidecar.interception.redirection import Redirection
which = shutil.which
shutil.which = lambda tool: None if tool == sys.argv[1] else which(tool)
print(netfilter.rules_here())
netfilter.write(Redirection((80, 8080), 65532, 16007), netfilter.backend_here())
print("====", netfilter.rules_here())
"""
    done = subprocess.run([*_IN_A_NAMESPACE, script, hidden], capture_output=True, text=True, timeout=60, check=False)

    before, after = done.stdout.split("====")
    assert before == "None\n", done.stderr
    assert read_rules(after) == Rules((80, 8080), 65532, 16007)


def test_without_the_capability_it_says_which_is_missing() -> None:
    script = """
from sidecar.interception import netfilter
from sidecar.interception.redirection import Redirection
try:
    netfilter.write(Redirection((80,), 7, 16007), "nft")
except netfilter.RulesRefused as error:
    print(error)
"""
    command = [
        "unshare",
        "--net",
        "setpriv",
        "--bounding-set=-net_admin",
        "--inh-caps=-net_admin",
        sys.executable,
        "-c",
    ]
    done = subprocess.run([*command, script], capture_output=True, text=True, timeout=60, check=False)

    assert "Operation not permitted" in done.stdout, done.stderr
    assert done.stdout.strip().endswith("it needs the capability NET_ADMIN")


def test_nft_is_taken_where_it_is_installed_else_iptables_else_the_kernel_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert netfilter.backend_here() == "netlink"
    with pytest.raises(RulesRefused, match="neither nft nor iptables is installed"):
        netfilter.rules_here()
    with pytest.raises(RulesRefused, match="nft is not installed"):
        netfilter.write(Redirection((80,), 7, 16007), "nft")
    for tool in ("iptables", "nft"):
        (tmp_path / tool).write_text("#!/bin/sh\n", encoding="ascii")
        (tmp_path / tool).chmod(0o755)
        assert netfilter.backend_here() == tool
