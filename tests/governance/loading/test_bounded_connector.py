"""What is bounded is tried with a real server in test_remote; here is that the bounds leave room for what is honest."""

import aiohttp

from sidecar.governance.documents.yaml import SIZE_CEILING_BYTES
from sidecar.governance.loading.bounded_connector import BYTES_CEILING, INTERIM_CEILING, TooMuchSent


def test_there_is_room_for_the_longest_document_its_head_and_chunks_of_a_few_bytes() -> None:
    head = 2 * 8190  # what aiohttp takes of a line, and of a field
    chunks = SIZE_CEILING_BYTES // 4096 * len(b"1000\r\n\r\n")

    assert SIZE_CEILING_BYTES + head + chunks < BYTES_CEILING
    assert INTERIM_CEILING >= 2


def test_what_is_broken_off_is_an_error_of_the_client_like_all_others() -> None:
    assert issubclass(TooMuchSent, aiohttp.ClientError)
