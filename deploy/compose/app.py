"""A service that calls its dependency at PAYMENTS_URL, twenty times a second, and says how that went every ten."""

import collections
import http.client
import os
import time
import urllib.parse

PAYMENTS = urllib.parse.urlsplit(os.environ["PAYMENTS_URL"])
SECONDS = float(os.environ.get("SECONDS", "inf"))


def paid() -> str:
    """One call: its status, or what went wrong."""
    connection = http.client.HTTPConnection(PAYMENTS.hostname or "", PAYMENTS.port or 80, timeout=5)
    try:
        connection.request("GET", "/v1/payments")
        return str(connection.getresponse().status)
    except OSError as error:
        return type(error).__name__
    finally:
        connection.close()


def main() -> None:
    """Call and count."""
    seen: collections.Counter[str] = collections.Counter()
    began = told = time.monotonic()
    while time.monotonic() - began < SECONDS:
        seen[paid()] += 1
        if time.monotonic() - told > 10:
            print(dict(seen), flush=True)
            told = time.monotonic()
        time.sleep(0.05)
    print(dict(seen), flush=True)


if __name__ == "__main__":
    main()
