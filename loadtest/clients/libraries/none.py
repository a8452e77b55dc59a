"""No retries at all: what the dependency alone is worth."""

from loadtest.storm.client import Client, Doors, Once
from loadtest.storm.scenario import Scenario


def once(_scenario: Scenario, _port: int, doors: Doors) -> Client:
    """See `Start`."""
    return Once(doors)
