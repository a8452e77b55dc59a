import pytest

from sidecar.interception.redirection import NFT_REMOVAL, Redirection


def test_the_script_of_nft_replaces_its_own_table_and_leaves_out_the_sidecar_loopback_and_link_local() -> None:
    assert Redirection((80, 8080), 65532, 16007).nft == (
        "table inet retry_sidecar\n"
        "delete table inet retry_sidecar\n"
        "table inet retry_sidecar {\n"
        "  chain output {\n"
        "    type nat hook output priority -100; policy accept;\n"
        "    meta skuid 65532 return\n"
        '    oifname "lo" return\n'
        "    ip daddr { 127.0.0.0/8, 169.254.0.0/16 } return\n"
        "    ip6 daddr { ::1/128, fe80::/10 } return\n"
        "    tcp dport { 80, 8080 } redirect to :16007\n"
        "  }\n"
        "}\n"
    )
    assert NFT_REMOVAL == "table inet retry_sidecar\ndelete table inet retry_sidecar\n"


@pytest.mark.parametrize(("version", "loopback"), [(4, "127.0.0.0/8"), (6, "::1/128")])
def test_iptables_says_the_same_port_by_port(version: int, loopback: str) -> None:
    lines = Redirection((80, 8080), 1, 2).iptables(version).splitlines()

    assert lines[:3] == ["*nat", ":RETRY_SIDECAR - [0:0]", "-A RETRY_SIDECAR -m owner --uid-owner 1 -j RETURN"]
    assert f"-A RETRY_SIDECAR -d {loopback} -j RETURN" in lines
    assert lines[-3:] == [
        "-A RETRY_SIDECAR -p tcp --dport 80 -j REDIRECT --to-ports 2",
        "-A RETRY_SIDECAR -p tcp --dport 8080 -j REDIRECT --to-ports 2",
        "COMMIT",
    ]


@pytest.mark.parametrize(
    ("ports", "uid", "to", "rule"),
    [
        ((), 1, 2, "at least one port"),
        ((0,), 1, 2, "between 1 and 65535"),
        ((80,), 1, 65536, "between 1 and 65535"),
        ((80, 16007), 1, 16007, "to itself"),
        ((80,), -1, 2, "a user id"),
        ((80,), 2**32 - 1, 2, "a user id"),
    ],
)
def test_a_redirection_that_can_not_be_is_refused(ports: tuple[int, ...], uid: int, to: int, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        Redirection(ports, uid, to)
