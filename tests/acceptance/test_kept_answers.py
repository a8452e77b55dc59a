"""What is kept of a payment in a running sidecar: encrypted by keys that rotate, redacted, erased."""

import base64
import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp

from tests.fakes.charge_pods import READY_WITHIN, Pod, charges_of, payments, store_of

OLD, NEW = (base64.b64encode(letter * 32) + b"\n" for letter in (b"o", b"n"))


async def pay(session: aiohttp.ClientSession, pod: Pod, order: str) -> tuple[int, dict[str, Any]]:
    headers = {"Idempotency-Key": order, "Authorization": "Bearer a"}
    async with session.post(f"http://127.0.0.1:{pod.port}/pay", json={"order": order}, headers=headers) as answer:
        return answer.status, json.loads(await answer.read())


def until_said(pod: Pod, event: str, times: int) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while pod.log.count(event) < times:
        assert time.monotonic() < deadline, pod.log
        time.sleep(0.05)


async def test_keys_rotate_while_it_runs_and_what_is_kept_by_a_key_that_is_gone_is_not_run_again(
    tmp_path: Path,
) -> None:
    keys = tmp_path / "keys"
    keys.write_bytes(OLD)
    with ExitStack() as stack:
        app = stack.enter_context(payments(0.0))
        store, _ = stack.enter_context(store_of("sqlite"))
        pod = Pod(tmp_path / "pod", app, store, 1, {"encryption_key_file": str(keys)})
        pod.start()
        stack.callback(pod.kill)
        async with aiohttp.ClientSession() as session:
            first = await pay(session, pod, "order-1")
            keys.write_bytes(NEW + OLD)
            until_said(pod, "idempotency_keys_read", 1)
            rotated = [await pay(session, pod, order) for order in ("order-1", "order-2")]
            keys.write_bytes(b"nonsense")
            until_said(pod, "idempotency_keys_refused", 1)
            kept_on = await pay(session, pod, "order-1")
            keys.write_bytes(NEW)
            until_said(pod, "idempotency_keys_read", 2)
            gone = [await pay(session, pod, order) for order in ("order-1", "order-2")]
            until_said(pod, "idempotency_answer_unreadable", 1)
        charged = charges_of(app)
        log = pod.log

    assert first == (201, {"order": "order-1", "charge": 1})
    assert rotated == [first, (201, {"order": "order-2", "charge": 1})]
    assert kept_on == first
    assert gone[1] == rotated[1]
    assert (gone[0][0], gone[0][1]["reason"]) == (201, "body_not_kept")
    assert "can not be read any more" in gone[0][1]["detail"]
    assert charged == {"order-1": 1, "order-2": 1}
    assert log.count("idempotency_answer_unreadable") == 1
    assert "Traceback" not in log


async def test_what_is_redacted_is_in_no_store_and_an_erasure_leaves_the_chain_as_it_was(tmp_path: Path) -> None:
    with ExitStack() as stack:
        app = stack.enter_context(payments(0.0))
        store, _ = stack.enter_context(store_of("sqlite"))
        pod = Pod(tmp_path / "pod", app, store, 1, redact=["/order", "journal.why"])
        pod.start()
        stack.callback(pod.kill)
        key = ("--route", "pay", "--key", "order-42", "--scope", "authorization: Bearer a")
        async with aiohttp.ClientSession() as session:
            first = await pay(session, pod, "order-42")
            again = await pay(session, pod, "order-42")
            folder = Path(store["sqlite"]).parent
            written = b"".join(file.read_bytes() for file in folder.iterdir())
            shown = [json.loads(pod.run("show", *key, "--format", "json").stdout)]
            erased = pod.run("erase", "--route", "pay", "--scope", "authorization: Bearer a")
            shown.append(json.loads(pod.run("show", *key, "--format", "json").stdout))
            after = await pay(session, pod, "order-42")
        charged = charges_of(app)

    assert first == (201, {"order": "order-42", "charge": 1})
    assert again == (201, {"order": "[redacted]", "charge": 1})
    assert b'"charge": 1' in written
    assert b"order-42" not in written
    assert erased.stdout == "1 erased\n"
    assert [each["journal_intact"] for each in shown] == [True, True]
    before, now = ([entry["digest"] for entry in each["journal"]] for each in shown)
    assert now[:-1] == before
    assert shown[1]["journal"][-1]["event"] == "erased"
    assert (after[0], after[1]["reason"]) == (201, "body_not_kept")
    assert charged == {"order-42": 1}
