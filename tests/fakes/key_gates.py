"""Ingress gates over a store in memory, with terms that a test chooses."""

from msgspec.structs import replace

from sidecar.governance.documents.route_match import PathTemplate, RouteMatch
from sidecar.governance.policy.contract import IngressRoute, KeyContract
from sidecar.idempotency.answer import AnswerSeal
from sidecar.idempotency.gate import IngressGate
from sidecar.idempotency.record import KeyRecord
from sidecar.idempotency.register import Register
from sidecar.idempotency.store import Store, StoreUnavailable, Swapped
from sidecar.idempotency.stores.memory import MemoryStore

USUAL_TERMS = KeyContract(
    at_most_once=True,
    takes_over=False,
    fails_open=False,
    header=b"idempotency-key",
    pointer=None,
    required=True,
    retention=86400.0,
    rejects=False,
    wait=0.0,
    scope=(b"authorization",),
    ignored=(),
    released_by=frozenset({401, 403, 429}),
    class_name="at_most_once",
)
REEXECUTE_OK = {"class_name": "reexecute_ok", "at_most_once": False, "takes_over": True}
BEST_EFFORT = {"class_name": "best_effort", "at_most_once": False, "fails_open": True}


def keyed_route(name: str = "pay", path: str = "/pay", **terms: object) -> IngressRoute:
    """A route for POSTs to `path`; `terms` replace the usual ones."""
    contract = replace(USUAL_TERMS, **terms)  # type: ignore[arg-type]
    return IngressRoute(name, RouteMatch(methods=["POST"], path=PathTemplate.parse(path)), contract)


def key_gate(
    *routes: IngressRoute,
    store: Store | None = None,
    lease: float = 30.0,
    max_request_bytes: int = 1 << 20,
    max_response_bytes: int = 256 << 10,
    seal: AnswerSeal | None = None,
    timeout: float = 2.0,
) -> IngressGate:
    """A gate, its store opened by its first use."""
    return IngressGate(
        Register(store or MemoryStore(), timeout=timeout),
        routes or (keyed_route(),),
        lease=lease,
        max_request_bytes=max_request_bytes,
        max_response_bytes=max_response_bytes,
        seal=seal,
    )


class BrokenStore(MemoryStore):
    """Is down after so many swaps, until it is mended."""

    def __init__(self, swaps: int = 0) -> None:
        super().__init__()
        self.swaps = swaps

    async def swap(self, key: bytes, expected: KeyRecord | None, record: KeyRecord) -> Swapped:
        if self.swaps <= 0:
            raise StoreUnavailable("down")
        self.swaps -= 1
        return await super().swap(key, expected, record)
