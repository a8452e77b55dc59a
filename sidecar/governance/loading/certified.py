"""Snapshots that come with their certificates, or not at all."""

from collections.abc import Callable

from sidecar.governance.documents.finding import InvalidDocument
from sidecar.governance.loading.loader import Loaded
from sidecar.governance.loading.updater import SnapshotSource
from sidecar.governance.policy.snapshot import Snapshot
from sidecar.governance.trust.certificates import CertificateStore, Renewal


class Certified:
    """A source whose snapshots may be put in force: the files they name have been read. Implements `following.Source`.

    `in_force` tells what governs meanwhile, whose files stay; `told` hears what every reading came to.
    """

    def __init__(
        self,
        source: SnapshotSource,
        store: CertificateStore,
        in_force: Callable[[], Snapshot],
        told: Callable[[Renewal], None],
    ) -> None:
        self._source = source
        self._store = store
        self._in_force = in_force
        self._told = told

    async def load(self) -> Loaded:
        """Load again, documents and certificates. Raises InvalidDocument."""
        try:
            loaded = await self._source.load()
        except InvalidDocument:
            self._told(self._store.renew())  # a mistake in a document holds no certificate back
            raise
        return self._with_certificates(loaded)

    async def abort(self, version: int) -> Loaded:
        """Give a version up for good. Raises InvalidDocument."""
        return self._with_certificates(await self._source.abort(version))

    def _with_certificates(self, loaded: Loaded) -> Loaded:
        files = (*self._in_force().certificate_files, *loaded.snapshot.certificate_files)
        self._told(self._store.adopt(files))
        return loaded
