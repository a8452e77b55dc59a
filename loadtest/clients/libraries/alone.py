"""httpx as it comes, without any retry: what its own connection pool costs in an outage."""

from dataclasses import dataclass

import httpx

from loadtest.storm.client import BODY, HOST, Client, Doors
from loadtest.storm.scenario import Scenario
from loadtest.storm.witness import ID_HEADER


@dataclass(frozen=True, slots=True)
class Httpx:
    """Sends each request once, through `client`, whatever transport that was given."""

    client: httpx.AsyncClient
    url: str

    async def get_answer(self, number: int, _destination: int, *, post: bool) -> int:
        """See Client."""
        content = BODY if post else None
        try:
            answer = await self.client.request(
                "POST" if post else "GET", self.url, content=content, headers={ID_HEADER: str(number)}
            )
        except httpx.HTTPError as error:
            raise OSError(str(error)) from error
        return answer.status_code


def httpx_of(transport: httpx.AsyncBaseTransport, port: int) -> Httpx:
    """A client through `transport`, which alone says how long an attempt may take."""
    return Httpx(httpx.AsyncClient(transport=transport, timeout=None, trust_env=False), f"http://{HOST}:{port}/balance")


def unbounded() -> httpx.AsyncHTTPTransport:
    """As many connections as there are requests: a full pool would be a limit that the others have not."""
    return httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=None, max_keepalive_connections=None))


def httpx_(_scenario: Scenario, port: int, _doors: Doors) -> Client:
    """See `Start`."""
    return httpx_of(unbounded(), port)
