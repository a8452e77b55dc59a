"""The proxies that are compared, each set up as people set it up: retries on, access log at its default or off."""

from loadtest.subjects.aiohttp import Aiohttp
from loadtest.subjects.envoy import Envoy
from loadtest.subjects.haproxy import Haproxy
from loadtest.subjects.nginx import Nginx
from loadtest.subjects.sidecar import Sidecar
from loadtest.subjects.subject import MissingError, Subject

__all__ = ["BASELINE", "SUBJECTS", "MissingError", "Subject"]

BASELINE = "envoy"

# The baseline comes first in every round: the others are also measured at half of what it managed in that round.
SUBJECTS: dict[str, Subject] = {
    subject.name: subject for subject in (Envoy(), Sidecar(), Aiohttp(), Haproxy(), Nginx())
}
