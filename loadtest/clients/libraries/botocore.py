"""AWS SDK's standard retry mode: botocore itself, calling a service of AWS whose endpoint is the dependency.

A token bucket for each client (500 tokens; a retry takes 5, after a timeout 10; a success gives them back), jittered
exponential back-off up to 20 s. It retries every operation alike: the services of AWS are idempotent or take tokens.
"""

import threading
from typing import Any

import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from loadtest.clients.libraries import ATTEMPTS
from loadtest.clients.libraries.threaded import THREADS, threaded
from loadtest.storm.client import BODY, HOST, Client, Doors
from loadtest.storm.scenario import Scenario
from loadtest.storm.witness import ID_HEADER

FUNCTION = "balance"


def threads(scenario: Scenario, port: int, _doors: Doors) -> Client:
    """See `Start`. Lambda's `GetFunction` is a GET and its `Invoke` a POST; both take any JSON for an answer."""
    client = botocore.session.Session().create_client(
        "lambda",
        region_name="us-east-1",
        endpoint_url=f"http://{HOST}:{port}",
        config=Config(
            signature_version=UNSIGNED,
            retries={"mode": "standard", "max_attempts": ATTEMPTS},
            connect_timeout=scenario.per_try,
            read_timeout=scenario.per_try,
            max_pool_connections=THREADS,
            inject_host_prefix=False,
        ),
    )
    current = threading.local()

    def mark(params: dict[str, Any], **_: object) -> None:
        params["headers"][ID_HEADER] = str(current.number)

    client.meta.events.register("before-call.lambda", mark)

    def ask(number: int, post: bool) -> int:  # noqa: FBT001 - run_in_executor passes no names
        current.number = number
        try:
            if post:
                answer = client.invoke(FunctionName=FUNCTION, Payload=BODY)
                answer["Payload"].read()
            else:
                answer = client.get_function(FunctionName=FUNCTION)
        except ClientError as error:
            return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
        except BotoCoreError as error:
            raise OSError(str(error)) from error
        return int(answer["ResponseMetadata"]["HTTPStatusCode"])

    return threaded(ask)
