"""The counts received from one side so far: its service's and its client's."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from sidecar.demo.charges.payer import PayerCounts


@dataclass(slots=True)
class ServiceCounts:
    """Counts of the service since the start."""

    orders: int = 0  # that were charged
    charges: int = 0
    twice: int = 0  # orders that were charged twice or more
    most: int = 0  # charges of one order
    requests: int = 0
    lost: int = 0  # answers whose connection died after the charge
    late: int = 0  # answers that came after the client's patience


@dataclass(slots=True)
class ChargeSide:
    """One side."""

    name: str
    service: ServiceCounts = field(default_factory=ServiceCounts)
    client: PayerCounts = field(default_factory=PayerCounts)
    _before: PayerCounts = field(default_factory=PayerCounts)
    """Of the clients that have ended."""

    def hear_service(self, message: Mapping[str, object]) -> None:
        """Take in a `counts` message of the service, or what it says at `/-/charges`."""
        self.service = ServiceCounts(*(int(str(message[each.name])) for each in fields(ServiceCounts)))

    def hear_client(self, message: Mapping[str, object]) -> None:
        """Take in a `counts` message of the client."""
        before = self._before
        self.client = PayerCounts(
            *(getattr(before, each.name) + int(str(message[each.name])) for each in fields(PayerCounts))
        )

    def begin_again(self) -> None:
        """Another client takes over; its counts start at 0."""
        self._before = self.client

    @property
    def charges_per_order(self) -> float:
        """Over the orders that were charged at all; 0 before the first."""
        return self.service.charges / self.service.orders if self.service.orders else 0.0

    @property
    def at_most_once(self) -> bool:
        """Whether no order was charged twice, by the service's own count."""
        return self.service.most <= 1
