"""The messages are judged by what nft makes of the rules that the kernel has then, each in a namespace of its own."""

import subprocess
import sys

import pytest

from sidecar.doctor.rules import Rules, read_rules

SCRIPT = """
import subprocess
from sidecar.interception import netlink
from sidecar.interception.redirection import Redirection
subprocess.run(["nft", "add table inet mine"], check=True)
netlink.write(Redirection((81,), 7, 16001))
netlink.write(Redirection((80, 8080), 65532, 16007))
print(subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout)
netlink.remove()
netlink.remove()
print("====", subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout)
"""
REFUSED = """
from sidecar.interception import netfilter, netlink
from sidecar.interception.redirection import Redirection
for write in (netlink.write, lambda rules: netfilter.write(rules, "netlink")):
    try:
        write(Redirection((80,), 7, 16007))
    except Exception as error:
        print(type(error).__name__, error)
"""


def ran(script: str, *before: str) -> str:
    command = ["unshare", "--net", *before, sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_kernel_has_the_rules_of_the_script_and_those_of_others_stay() -> None:
    written, removed = ran(SCRIPT).split("====")

    assert read_rules(written) == Rules((80, 8080), 65532, 16007)
    for line in (
        "type nat hook output priority -100; policy accept;",
        "meta skuid 65532 return",
        'oifname "lo" return',
        "ip daddr 127.0.0.0/8 return",
        "ip daddr 169.254.0.0/16 return",
        "ip6 daddr ::1 return",
        "ip6 daddr fe80::/10 return",
        "tcp dport 80 redirect to :16007",
        "tcp dport 8080 redirect to :16007",
    ):
        assert line in written
    assert written.count("dport") == 2
    assert removed.split() == ["table", "inet", "mine", "{", "}"]


@pytest.mark.parametrize("word", ["KernelRefused", "RulesRefused the kernel: "])
def test_without_the_capability_the_kernel_says_so(word: str) -> None:
    said = ran(REFUSED, "setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin")

    assert word in said
    assert said.count("Operation not permitted") == 2
    assert said.endswith("; it needs the capability NET_ADMIN\n")
