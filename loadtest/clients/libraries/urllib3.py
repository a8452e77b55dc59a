"""urllib3's Retry: what requests and many SDKs are built on. It retries no POST unless it is told to."""

from urllib3 import PoolManager, Retry, Timeout
from urllib3.exceptions import HTTPError

from loadtest.clients.libraries import ATTEMPTS, RETRIED_STATUSES
from loadtest.clients.libraries.threaded import THREADS, threaded
from loadtest.storm.client import BODY, HOST, Client, Doors
from loadtest.storm.scenario import Scenario
from loadtest.storm.witness import ID_HEADER


def threads(scenario: Scenario, port: int, _doors: Doors) -> Client:
    """See `Start`."""
    retry = Retry(
        total=ATTEMPTS - 1,
        backoff_factor=0.1,
        backoff_jitter=0.1,
        status_forcelist=RETRIED_STATUSES,
        raise_on_status=False,
    )
    pool = PoolManager(retries=retry, timeout=Timeout(scenario.per_try), maxsize=THREADS)
    url = f"http://{HOST}:{port}/balance"

    def ask(number: int, post: bool) -> int:  # noqa: FBT001 - run_in_executor passes no names
        try:
            return pool.request(
                "POST" if post else "GET", url, body=BODY if post else None, headers={ID_HEADER: str(number)}
            ).status
        except HTTPError as error:
            raise OSError(str(error)) from error

    return threaded(ask)
