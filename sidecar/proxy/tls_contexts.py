"""TLS contexts of what is in force: others only when a certificate or what is said about TLS has changed."""

from collections.abc import Set

from sidecar.governance.policy.snapshot import Snapshot
from sidecar.governance.policy.tls import USUAL, Origination, Termination
from sidecar.governance.trust.certificates import Certificates, CertificateStore
from sidecar.proxy.codecs import HTTP1, Codecs
from sidecar.proxy.tls import ClientTls, ServerTls, originating, terminating


class TlsContexts:
    """One context for each way of speaking, shared by all destinations that are spoken to so."""

    def __init__(self, store: CertificateStore, codecs: Codecs = HTTP1) -> None:
        """`store` has the files that a snapshot names before `follow` is given it.

        `codecs` says which protocols endpoints are offered.
        """
        self._store = store
        self._alpn = codecs.alpn
        self._clients: dict[tuple[Origination, Certificates], ClientTls] = {}
        self._by_name: dict[str, ClientTls] = {}
        self._usual: ClientTls | None = None
        self._server: tuple[tuple[Termination, Certificates], ServerTls] | None = None

    def follow(self, snapshot: Snapshot) -> Set[str]:
        """Speak as the snapshot says; the destinations that are spoken to otherwise than before."""
        older = self._by_name
        clients: dict[tuple[Origination, Certificates], ClientTls] = {}
        self._by_name = {}
        for name, destination in snapshot.destinations.items():
            if destination.https:
                key = (destination.tls, self._store[destination.tls.files])
                clients[key] = clients.get(key) or self._clients.get(key) or originating(*key, self._alpn)
                self._by_name[name] = clients[key]
        self._clients = clients
        termination = None if snapshot.ingress is None else snapshot.ingress.tls
        if termination is None:
            self._server = None
        else:
            way = (termination, self._store[termination.files])
            if self._server is None or self._server[0] != way:
                self._server = (way, terminating(*way))
        return {name for name, tls in older.items() if self._by_name.get(name) is not tls}

    def client(self, name: str) -> ClientTls:
        """The TLS of a route's https endpoints: the usual one where the documents say nothing."""
        return self._by_name.get(name) or self.usual

    @property
    def usual(self) -> ClientTls:
        """The TLS of hosts that no destination names."""
        if self._usual is None:
            self._usual = self._clients.get((USUAL, Certificates())) or originating(USUAL, Certificates(), self._alpn)
        return self._usual

    @property
    def server(self) -> ServerTls | None:
        """The TLS of ingress; None where it is in clear."""
        return None if self._server is None else self._server[1]
