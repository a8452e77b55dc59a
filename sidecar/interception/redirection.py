"""Redirected traffic, and the rules for it: as a script of nft, or as input of iptables-restore."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

TABLE: Final = "retry_sidecar"
CHAIN: Final = "RETRY_SIDECAR"

LEFT_OUT: Final = {4: ("127.0.0.0/8", "169.254.0.0/16"), 6: ("::1/128", "fe80::/10")}
"""Loopback is no egress; at link-local addresses clouds serve a machine its credentials."""


@dataclass(frozen=True, slots=True)
class Redirection:
    """New TCP connections of this network namespace to `ports` come to `to`, but for those of the user `uid`."""

    ports: tuple[int, ...]
    uid: int
    to: int

    def __post_init__(self) -> None:
        if not self.ports:
            raise ValueError("must name at least one port")
        for port in (*self.ports, self.to):
            if not 1 <= port <= 65535:
                raise ValueError(f"must be ports between 1 and 65535, got {port}")
        if self.to in self.ports:
            raise ValueError(f"must not redirect port {self.to} to itself")
        if not 0 <= self.uid < 2**32 - 1:
            raise ValueError(f"must be a user id, got {self.uid}")

    @property
    def nft(self) -> str:
        """A script that replaces whatever rules of ours there are, in one transaction."""
        ports = ", ".join(map(str, self.ports))
        return (
            f"{NFT_REMOVAL}"
            f"table inet {TABLE} {{\n"
            f"  chain output {{\n"
            f"    type nat hook output priority -100; policy accept;\n"
            f"    meta skuid {self.uid} return\n"
            f'    oifname "lo" return\n'
            f"    ip daddr {{ {', '.join(LEFT_OUT[4])} }} return\n"
            f"    ip6 daddr {{ {', '.join(LEFT_OUT[6])} }} return\n"
            f"    tcp dport {{ {ports} }} redirect to :{self.to}\n"
            f"  }}\n"
            f"}}\n"
        )

    def iptables(self, version: int) -> str:
        """Input of iptables-restore --noflush (`version` 4) or ip6tables-restore (6): fills our chain anew.

        The jump to the chain is apart: iptables has no way to add it once only in the same transaction.
        """
        return "\n".join(self._iptables(version)) + "\n"

    def _iptables(self, version: int) -> Iterator[str]:
        yield "*nat"
        yield f":{CHAIN} - [0:0]"
        yield f"-A {CHAIN} -m owner --uid-owner {self.uid} -j RETURN"
        yield f"-A {CHAIN} -o lo -j RETURN"
        for network in LEFT_OUT[version]:
            yield f"-A {CHAIN} -d {network} -j RETURN"
        for port in self.ports:
            yield f"-A {CHAIN} -p tcp --dport {port} -j REDIRECT --to-ports {self.to}"
        yield "COMMIT"


NFT_REMOVAL: Final = f"table inet {TABLE}\ndelete table inet {TABLE}\n"
"""Removes our table whether it is there or not: it is first made sure that it is."""

IPTABLES_JUMP: Final = ("OUTPUT", "-p", "tcp", "-j", CHAIN)
"""Without it the chain does nothing."""
