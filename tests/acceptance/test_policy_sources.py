"""Policies over the life of a real sidecar: servers that fail, versions that do harm. Files: policy/test_hot_reload."""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from sidecar.governance.loading.rollout import position
from tests.cli.test_run import free_port
from tests.fakes.origin import Origin, Request, replying, response
from tests.fakes.policy_server import PolicyServer, ca_file
from tests.fakes.signers import pinned, signed

BOUND = 10.0
POLICY = "version: {version}\nowner: platform\n{more}"


def policy(version: int, more: str = "") -> bytes:
    return POLICY.format(version=version, more=more).encode()


def text_of(file: str) -> str:
    return Path(file).read_text(encoding="utf-8").strip()


class Running:
    """One sidecar process, its admin plane and its port for `payments`."""

    def __init__(self, folder: Path, process: asyncio.subprocess.Process, admin: int, own: int) -> None:
        self.folder = folder
        self.process = process
        self.admin = f"http://127.0.0.1:{admin}"
        self.url = f"http://127.0.0.1:{own}/"
        self.session = aiohttp.ClientSession()
        self.seen: list[int] = []

    async def bearer(self) -> dict[str, str]:
        """What the admin plane asks of those who change something, once it has said where it is."""
        while True:
            lines = [json.loads(line) for line in self.log().splitlines(keepends=True) if line.endswith("\n")]
            for line in reversed(lines):
                if line["event"] == "start":
                    return {"Authorization": f"Bearer {text_of(line['admin_token_file'])}"}
            await asyncio.sleep(0.03)

    async def view(self, path: str = "/policy") -> Mapping[str, object]:
        async with self.session.get(self.admin + path) as answer:
            view: Mapping[str, object] = await answer.json()
            return view

    async def until(self, holds: Callable[[Mapping[str, object]], bool], path: str = "/policy") -> Mapping[str, object]:
        """The first view that `holds`, within a bound that only a failure reaches."""
        view: Mapping[str, object] = {}
        try:
            async with asyncio.timeout(BOUND):
                while True:
                    try:
                        view = await self.view(path)
                        if holds(view):
                            return view
                    except aiohttp.ClientConnectionError:
                        pass
                    await asyncio.sleep(0.03)
        except TimeoutError:
            raise AssertionError(f"never came: {json.dumps(view)[:2000]}\n{self.log()}") from None

    async def reload(self) -> int:
        async with self.session.post(f"{self.admin}/policy/reload", headers=await self.bearer()) as answer:
            return answer.status

    async def metric(self, pattern: str) -> float:
        async with self.session.get(f"{self.admin}/metrics") as answer:
            text = await answer.text()
        found = re.search(rf"^{pattern} (\S+)$", text, re.MULTILINE)
        assert found, f"{pattern} is not in\n{text}"
        return float(found[1])

    async def call(self) -> None:
        """One request through the sidecar; its status is `seen`."""
        async with self.session.get(self.url) as answer:
            await answer.read()
            self.seen.append(answer.status)

    async def drive(self) -> None:
        """Requests one after the other, until cancelled."""
        while True:
            await self.call()
            await asyncio.sleep(0.005)

    def log(self) -> str:
        return (self.folder / "log").read_text()


@asynccontextmanager
async def sidecar(
    folder: Path, source: str, upstream: int = 1, *, pod: str = "checkout-1", flags: tuple[str, ...] = ()
) -> AsyncIterator[Running]:
    admin, own = free_port(), free_port()
    (folder / "sidecar.yaml").write_text(
        f"service: checkout\nadmin: {{listen: '127.0.0.1:{admin}'}}\npolicy: {{{source}}}\n"
        f"egress: {{listen: ['127.0.0.1:{free_port()}']}}\n"
        f"destinations:\n  payments:\n    endpoints: ['http://127.0.0.1:{upstream}']\n    listen: '127.0.0.1:{own}'\n"
    )
    with (folder / "log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sidecar", "run", "--config", str(folder / "sidecar.yaml"), *flags),
            stderr=log,
            env={**os.environ, "POD_NAME": pod},
        )
    running = Running(folder, process, admin, own)
    try:
        yield running
    finally:
        await running.session.close()
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), BOUND)
        assert "Traceback" not in running.log()


def url_source(server: PolicyServer, folder: Path, more: str = "") -> str:
    return f"url: '{server.url}', ca: {ca_file(folder)}, poll: 1s, timeout: 1s, cache: state{more}"


def is_version(version: int, origin: str = "source") -> Callable[[Mapping[str, object]], bool]:
    return lambda view: (view["version"], view["origin"]) == (version, origin)


def is_refused(words: str) -> Callable[[Mapping[str, object]], bool]:
    return lambda view: words in str(view["reload"]["error"])  # type: ignore[index]


# An address, and what becomes of its server


async def test_a_policy_is_followed_from_an_address_through_every_kind_of_outage(tmp_path: Path) -> None:
    async with PolicyServer() as server:
        server.files["/policy.yaml"] = policy(7)
        async with sidecar(tmp_path, url_source(server, tmp_path)) as running:
            await running.until(is_version(7))
            server.files["/policy.yaml"] = policy(8)
            await running.until(is_version(8))
            for answer, words in (
                (replying(response(500)), "answered 500"),
                (replying(response(200, b"<html>", "Content-Type: text/html")), "a web page"),
                (replying(response(200, b"\x00garbage")), "printable"),
                (replying(response(200, policy(9))[:-3]), "no whole answer"),
                (replying(response(200, policy(6))), "must not be lower than 8"),
                (replying(response(200, policy(9, "defaults: {budget: {ratio: 5}}\n"))), "must be at most 0.2"),
            ):
                server.misbehave = answer
                assert await running.reload() == 422
                view = await running.until(is_refused(words))
                assert view["version"] == 8
            assert await running.metric("sidecar_policy_reload_success") == 0
            assert await running.metric("sidecar_policy_source_age_seconds") > 0
            assert (await running.view("/readyz"))["ready"] is True
            server.misbehave = None
            server.files["/policy.yaml"] = policy(9)
            assert await running.reload() == 200
            assert is_version(9)(await running.view())
            assert await running.metric("sidecar_policy_reload_success") == 1

    assert "Traceback" not in running.log()


async def test_what_has_not_changed_is_asked_for_and_not_sent(tmp_path: Path) -> None:
    async with PolicyServer() as server:
        server.files["/policy.yaml"] = policy(7)
        async with sidecar(tmp_path, url_source(server, tmp_path)) as running:
            await running.until(is_version(7))
            async with asyncio.timeout(BOUND):
                while len(server.requests) < 3:
                    await asyncio.sleep(0.05)
            reloads = await running.metric(r'sidecar_policy_reloads_total\{result="success"\}')

    assert all(request.header("if-none-match") for request in server.requests[1:])
    assert reloads == 0


async def test_a_server_that_is_down_at_the_start_means_the_copy_or_else_the_baseline(tmp_path: Path) -> None:
    server = PolicyServer()
    async with server:
        pass  # its port is known now, and nobody listens
    source = url_source(server, tmp_path)

    async with sidecar(tmp_path, source) as running:
        await running.until(is_version(0, "baseline"))
        ready = await running.view("/readyz")
        alarm = await running.metric(r'sidecar_policy_origin\{origin="baseline"\}')
        async with server:
            server.files["/policy.yaml"] = policy(7)
            async with asyncio.timeout(BOUND):
                while await running.reload() != 200:  # a busy machine may take longer to answer than it is waited for
                    pass
            await running.until(is_version(7))
    async with sidecar(tmp_path, source, flags=("--strict",)) as again:
        copy = await again.until(is_version(7, "copy"))
        noted = await again.view("/readyz")

    assert ready["ready"] is True
    assert "the compiled-in baseline is in force" in str(ready["warnings"])
    assert alarm == 1
    assert '"level":"error","event":"policy_warning"' in running.log()
    assert "last good copy" in str(copy["warnings"])
    assert "last good copy" in str(noted["warnings"])


async def test_strictly_a_server_that_is_down_is_exit_two_with_one_line(tmp_path: Path) -> None:
    async with PolicyServer() as server:
        pass

    async with sidecar(tmp_path, url_source(server, tmp_path), flags=("--strict",)) as running:
        code = await asyncio.wait_for(running.process.wait(), BOUND)

    assert code == 2
    assert running.log() == f"{server.url}: can not be fetched: Connection refused\n"


async def test_from_an_address_only_what_is_signed_is_believed_and_nothing_older_again(tmp_path: Path) -> None:
    keys = ", ".join(f'{name}: "{key}"' for name, key in pinned("ann", "bob").items())
    async with PolicyServer() as server:

        def publish(content: bytes, *names: str) -> None:
            server.files |= {"/policy.yaml": content, "/policy.yaml.sig": signed(content, *names)}

        publish(policy(7), "ann", "bob")
        source = url_source(server, tmp_path, f", keys: {{{keys}}}, required: 2")
        async with sidecar(tmp_path, source) as running:
            await running.until(is_version(7))
            publish(policy(8), "ann")
            await running.reload()
            few = await running.until(is_refused("must be signed by 2 of ann, bob"))
            publish(policy(6), "ann", "bob")
            await running.reload()
            old = await running.until(is_refused("must not be lower than 7"))
        async with sidecar(tmp_path, source) as again:
            restarted = await again.until(is_refused("must not be lower than 7"))

    assert few["version"] == old["version"] == restarted["version"] == 7


# Rollouts


def pods(version: int) -> tuple[str, str]:
    names = [f"checkout-{number}" for number in range(1000)]
    chosen = next(name for name in names if position("checkout", name, version) < 50)
    return chosen, next(name for name in names if not position("checkout", name, version) < 50)


CALM = "defaults: {retry: {max_attempts: 1}}\n"
EAGER = (
    "rollout: {percent: 50, abort_when: {amplification: 1.2, window: 10s, min_requests: 20}}\n"
    "guardrails: {budget.ratio: {max: 1}, budget.min_retries: {max: 50}}\n"
    "defaults: {budget: {ratio: 1, burst: 10, min_retries: 50}, retry: {backoff: {base: 1ms, max: 1ms}}}\n"
)


async def every_first_attempt_fails(request: Request, writer: asyncio.StreamWriter) -> None:
    fails = request.header("x-retry-attempt") is None
    writer.write(response(503 if fails else 200))


async def test_a_rollout_reaches_its_share_and_is_given_up_there_by_itself_when_it_amplifies(tmp_path: Path) -> None:
    chosen, other = pods(8)
    for name in (chosen, other):
        (tmp_path / name).mkdir()
        (tmp_path / name / "policy.yaml").write_bytes(policy(7, CALM))
    async with Origin(every_first_attempt_fails) as origin:
        async with (
            sidecar(tmp_path / chosen, "file: policy.yaml, cache: state", origin.port, pod=chosen) as one,
            sidecar(tmp_path / other, "file: policy.yaml", origin.port, pod=other) as two,
        ):
            for running in (one, two):
                await running.until(is_version(7))
                (running.folder / "policy.yaml").write_bytes(policy(8, EAGER))
            adopted = await one.until(lambda view: view["rollout"] == "adopted")
            held = await two.until(lambda view: view["rollout"] == "held")
            load = asyncio.create_task(one.drive())
            aborted = await one.until(lambda view: view["rollout"] == "aborted")
            load.cancel()
            await asyncio.gather(load, return_exceptions=True)
            sticky = (await one.reload(), await one.view())
            counted = await one.metric("sidecar_policy_rollout_aborts_total")
            state = await one.metric(r'sidecar_policy_rollout_state\{state="aborted"\}')
        async with sidecar(tmp_path / chosen, "file: policy.yaml, cache: state", origin.port, pod=chosen) as again:
            restarted = await again.until(lambda view: view["rollout"] == "aborted")

    assert (adopted["version"], held["version"], held["offered"]) == (8, 7, 8)
    assert aborted["version"] == restarted["version"] == 7
    assert sticky[0] == 200
    assert sticky[1]["version"] == 7
    assert (counted, state) == (1, 1)
    assert '"event":"rollout_aborted"' in one.log()


async def test_a_dry_run_counts_what_would_differ_and_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_bytes(policy(7))
    async with Origin(replying(response(503))) as origin:
        async with sidecar(tmp_path, "file: policy.yaml", origin.port) as running:
            await running.until(is_version(7))
            (tmp_path / "policy.yaml").write_bytes(policy(8, f"dry_run: true\n{CALM}"))
            await running.until(lambda view: view["rollout"] == "dry_run")
            await running.call()
            view = await running.view()
            differences = await running.metric(
                r'sidecar_policy_dry_run_differences_total\{destination="payments",kind="no_retry"\}'
            )

    assert running.seen == [503]
    assert len(origin.requests) > 1  # the one in force tries again
    assert (view["version"], view["offered"]) == (7, 8)
    assert differences == 1
