"""From files to what is in force, in an empty folder: starts, reloads, rollbacks, signatures, rollouts.

Addresses have their own tests, in test_remote and tests/acceptance/test_policy_sources.py.
"""

import asyncio
import shutil
from pathlib import Path

import pytest

from sidecar.governance.documents.finding import InvalidDocument
from sidecar.governance.documents.given import Given
from sidecar.governance.loading import loader as module
from sidecar.governance.loading.loader import Loaded, PolicyLoader
from sidecar.governance.loading.rollout import position
from sidecar.governance.loading.standing import PolicyOrigin, RolloutState
from sidecar.governance.policy.bootstrap import BootSource, from_flags
from sidecar.governance.trust.signature import written
from tests.fakes.documents import EXCEPTION, NOW
from tests.fakes.signers import pinned, signed, signer
from tests.fakes.waiting import turn

POD = "checkout-7d9f"


class Folder:
    """A sidecar file and a policy, and a loader over them. Each call of `loader` is another process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sidecar()
        self.policy()

    def sidecar(self, policy: str = "file: policy.yaml", overrides: str = "{}") -> None:
        (self.path / "sidecar.yaml").write_text(
            f"service: checkout\npolicy: {{{policy}}}\ndestinations:\n  payments:\n"
            f'    endpoints: ["http://payments:8080"]\n    overrides: {overrides}\n'
        )

    def policy(self, version: int = 7, more: str = "", name: str = "policy.yaml") -> bytes:
        content = f"version: {version}\nowner: platform\n{more}".encode()
        (self.path / name).write_bytes(content)
        return content

    def signature(self, content: bytes, *names: str, name: str = "policy.yaml") -> None:
        (self.path / f"{name}.sig").write_bytes(signed(content, *names))

    def loader(self, pod: str = POD) -> PolicyLoader:
        return PolicyLoader(self.path / "sidecar.yaml", pod, wall=lambda: NOW)

    async def start(self, *, strict: bool = False, pod: str = POD) -> tuple[PolicyLoader, Loaded]:
        loader = self.loader(pod)
        return loader, await loader.first(strict=strict)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def keys(*names: str, required: int = 1) -> str:
    listed = ", ".join(f'{name}: "{key}"' for name, key in pinned(*names).items())
    return f"file: policy.yaml, cache: state, keys: {{{listed}}}, required: {required}"


def standing(loaded: Loaded) -> tuple[int, str, str]:
    return loaded.snapshot.version, loaded.origin.value, loaded.rollout.value


# Starts


async def test_a_policy_file_is_in_force_and_watched(folder: Folder) -> None:
    _, loaded = await folder.start()

    assert standing(loaded) == (7, "source", "none")
    assert loaded.watched == (folder.path / "sidecar.yaml", folder.path / "policy.yaml")
    assert loaded.warnings == ()
    assert loaded.poll is None


async def test_a_directory_holds_its_policy_by_name(folder: Folder) -> None:
    folder.sidecar("directory: fleet")
    (folder.path / "fleet").mkdir()
    folder.policy(9, name="fleet/policy.yaml")

    _, loaded = await folder.start()

    assert standing(loaded) == (9, "source", "none")


async def test_a_second_document_in_the_directory_is_told_that_it_does_not_govern(folder: Folder) -> None:
    folder.sidecar("directory: fleet")
    (folder.path / "fleet").mkdir()
    folder.policy(9, name="fleet/policy.yaml")
    folder.policy(10, name="fleet/policy-next.yaml")

    loader, loaded = await folder.start()
    (folder.path / "fleet" / "policy-next.yaml").unlink()
    folder.policy(11, name="fleet/policy.yaml")
    later = await loader.load()

    warning = f"{folder.path}/fleet: of a directory policy.yaml alone is read, and not policy-next.yaml"
    assert (standing(loaded), loaded.warnings) == ((9, "source", "none"), (warning,))
    assert (standing(later), later.warnings) == ((11, "source", "none"), ())


async def test_without_a_policy_named_the_baseline_is_no_alarm(folder: Folder) -> None:
    (folder.path / "sidecar.yaml").write_text("service: checkout\n")

    _, loaded = await folder.start(strict=True)

    assert standing(loaded) == (0, "source", "none")


async def test_a_policy_that_is_not_there_yet_means_the_baseline_loudly(folder: Folder) -> None:
    (folder.path / "policy.yaml").unlink()

    loader, loaded = await folder.start()
    folder.policy(7)
    later = await loader.load()

    assert standing(loaded) == (0, "baseline", "none")
    assert loaded.warnings[0] == "no valid policy could be had: the compiled-in baseline is in force"
    assert "policy.yaml: can not be read: No such file or directory" in loaded.warnings[1]
    assert loaded.watched[1] == folder.path / "policy.yaml"
    assert standing(later) == (7, "source", "none")


async def test_strictly_there_is_no_start_on_the_baseline(folder: Folder) -> None:
    (folder.path / "policy.yaml").unlink()

    with pytest.raises(InvalidDocument, match="can not be read"):
        await folder.start(strict=True)


async def test_a_policy_named_by_a_flag_must_be_there(tmp_path: Path) -> None:
    boot = from_flags("checkout", ["payments=http://payments:8080"], None, tmp_path / "policy.yaml", None, [])

    with pytest.raises(InvalidDocument, match="can not be read"):
        await PolicyLoader(boot, POD).first(strict=False)


def boot_source(by: str, folder: Path, *, optional: bool = True) -> BootSource:
    """What a container is told by variables or flags, beside a sidecar file that may be missing."""
    given = (
        Given(by, "upstreams", ("payments=http://payments:8080", "ledger=http://ledger:8080")),
        Given(by, "policy", (str(folder / "policy.yaml"),)),
    )
    return BootSource(folder / "sidecar.yaml", given, optional)


async def test_a_policy_named_by_a_variable_may_come_later_and_one_by_a_flag_may_not(tmp_path: Path) -> None:
    loaded = await PolicyLoader(boot_source("SIDECAR_POLICY", tmp_path), POD).first(strict=False)

    assert loaded.origin is PolicyOrigin.BASELINE
    with pytest.raises(InvalidDocument, match="can not be read"):
        await PolicyLoader(boot_source("--policy", tmp_path), POD).first(strict=False)


async def test_an_optional_sidecar_file_is_taken_up_when_it_comes_and_let_go_when_it_leaves(folder: Folder) -> None:
    folder.policy(7)
    file = folder.path / "sidecar.yaml"
    loader = PolicyLoader(boot_source("SIDECAR_UPSTREAMS", folder.path), POD)
    file.unlink()

    absent = await loader.first(strict=False)
    file.write_text(
        "service: checkout\ndestinations: {payments: {endpoints: ['http://old:1'], overrides: {timeout: 3s}}}\n"
    )
    present = await loader.load()
    file.unlink()
    gone = await loader.load()

    assert [each.snapshot.destinations["payments"].policy.timeout for each in (absent, present, gone)] == [60, 3, 60]
    assert present.snapshot.destinations["payments"].endpoints == absent.snapshot.destinations["payments"].endpoints
    assert present.snapshot.service == "checkout"
    assert file in absent.watched


async def test_a_sidecar_file_that_is_not_optional_must_be_there(tmp_path: Path) -> None:
    loader = PolicyLoader(boot_source("SIDECAR_UPSTREAMS", tmp_path, optional=False), POD)

    with pytest.raises(InvalidDocument, match=r"sidecar\.yaml: can not be read"):
        await loader.first(strict=False)


@pytest.mark.parametrize("more", ["via: yes\n", "defaults: {budget: {ratio: 0.9}}\n", "nonsense: 1\n"])
async def test_a_policy_file_that_is_wrong_is_no_start(folder: Folder, more: str) -> None:
    folder.policy(7, more)

    with pytest.raises(InvalidDocument, match=r"policy\.yaml:3"):
        await folder.start()


async def test_a_policy_that_can_not_be_parsed_is_no_reason_to_refuse_what_only_it_could_allow(folder: Folder) -> None:
    folder.sidecar(overrides="{timeout: 3s, budget: {ratio: 0.3}}")
    folder.policy(7, "guardrails: {budget.ratio: {max: 0.3}\n")

    with pytest.raises(InvalidDocument) as raised:
        await folder.start()

    assert {Path(finding.file).name for finding in raised.value.findings} == {"policy.yaml"}


async def test_an_override_that_a_good_policy_refuses_is_no_start(folder: Folder) -> None:
    folder.sidecar(overrides="{budget: {ratio: 0.3}}")

    with pytest.raises(InvalidDocument, match=r"sidecar\.yaml:6: .*must be at most 0\.2"):
        await folder.start()


async def test_a_wrong_policy_named_by_a_flag_is_no_start(folder: Folder) -> None:
    folder.policy(7, "nonsense: 1\n")
    boot = from_flags("checkout", ["payments=http://payments:8080"], None, folder.path / "policy.yaml", None, [])

    with pytest.raises(InvalidDocument, match="nonsense"):
        await PolicyLoader(boot, POD).first(strict=False)


OVER = EXCEPTION.replace("2026-11-24", "2026-10-01").replace("2026-12-05", "2026-11-24")


@pytest.mark.parametrize("strict", [False, True])
async def test_a_pod_that_restarts_after_an_exception_has_ended_runs_without_what_it_allowed(
    folder: Folder, *, strict: bool
) -> None:
    folder.sidecar(overrides="{timeout: 3s, budget: {ratio: 0.35}}")
    folder.policy(7, OVER)

    loader, loaded = await folder.start(strict=strict)
    folder.policy(8, OVER)
    reloaded = await loader.load()

    payments = loaded.snapshot.destinations["payments"]
    assert (standing(loaded), standing(reloaded)) == ((7, "source", "none"), (8, "source", "none"))
    assert (payments.policy.timeout, payments.policy.budget.ratio) == (3.0, 0.1)
    assert [finding.rule.partition("; ")[2] for finding in payments.left_out] == [
        f"exception EX-1 ({folder.path}/policy.yaml:4) expired on 2026-11-24"
    ]


async def test_a_sidecar_file_that_is_wrong_is_no_start_whatever_is_kept(folder: Folder) -> None:
    folder.sidecar("file: policy.yaml, cache: state")
    await folder.start()
    folder.sidecar("file: policy.yaml, cache: state, frob: 1")

    with pytest.raises(InvalidDocument, match=r"sidecar\.yaml:2: policy\.frob"):
        await folder.start()


async def test_both_documents_are_judged_in_one_go(folder: Folder) -> None:
    folder.sidecar("file: policy.yaml, frob: 1")
    folder.policy(7, "via: yes\n")

    with pytest.raises(InvalidDocument) as raised:
        await folder.start()

    assert {Path(finding.file).name for finding in raised.value.findings} == {"sidecar.yaml", "policy.yaml"}


async def test_on_the_baseline_overrides_that_only_the_policy_allows_are_left_out_and_named(folder: Folder) -> None:
    folder.sidecar(overrides="{timeout: 3s, budget: {ratio: 0.3}}")
    (folder.path / "policy.yaml").unlink()

    _, loaded = await folder.start()
    policy = loaded.snapshot.destinations["payments"].policy

    assert policy.timeout == 3.0
    assert policy.budget.ratio == 0.1
    assert [finding.field for finding in loaded.snapshot.left_out["payments"]] == [
        "destinations.payments.overrides.budget.ratio"
    ]


# The last good copy


@pytest.mark.parametrize("harm", ["gone", "broken", "rolled back"])
async def test_the_last_good_copy_is_in_force_when_the_file_gives_nothing_that_holds(folder: Folder, harm: str) -> None:
    folder.sidecar("file: policy.yaml, cache: state")
    folder.policy(7, "defaults: {timeout: 4s}\n")
    await folder.start()
    if harm == "gone":
        (folder.path / "policy.yaml").unlink()
    else:
        folder.policy(6 if harm == "rolled back" else 8, "" if harm == "rolled back" else "via: yes\n")

    _, loaded = await folder.start(strict=True)

    assert standing(loaded) == (7, "copy", "none")
    assert loaded.snapshot.destinations["payments"].policy.timeout == 4.0
    assert "last good copy" in loaded.warnings[0]
    assert len(loaded.warnings) == 2


async def test_the_copy_is_judged_again_by_the_guardrails_of_this_version(folder: Folder) -> None:
    folder.sidecar("file: policy.yaml, cache: state")
    await folder.start()
    (file,) = (folder.path / "state").iterdir()
    (folder.path / "policy.yaml").unlink()
    file.write_bytes(file.read_bytes().replace(b"owner: platform", b"owmer: platform"))

    _, loaded = await folder.start()

    assert standing(loaded) == (0, "baseline", "none")
    assert any("is not what was kept" in warning for warning in loaded.warnings)


async def test_the_copy_must_be_signed_by_the_keys_that_are_pinned_now(folder: Folder) -> None:
    folder.sidecar(keys("ann"))
    folder.signature(folder.policy(7), "ann")
    await folder.start()
    (folder.path / "policy.yaml").unlink()
    folder.sidecar(keys("bob"))

    _, loaded = await folder.start()

    assert standing(loaded) == (0, "baseline", "none")


async def test_a_cache_that_can_not_be_written_is_told_and_stops_nothing(folder: Folder) -> None:
    (folder.path / "state").write_text("a file")
    folder.sidecar("file: policy.yaml, cache: state")

    _, loaded = await folder.start()

    assert standing(loaded) == (7, "source", "none")
    assert any("can not be written" in warning for warning in loaded.warnings)


# Reloads


async def test_nothing_new_is_the_very_same_snapshot(folder: Folder) -> None:
    loader, first = await folder.start()

    again = await loader.load()

    assert again.snapshot is first.snapshot


async def test_a_new_policy_is_another_snapshot(folder: Folder) -> None:
    loader, _ = await folder.start()
    folder.policy(8, "defaults: {timeout: 4s}\n")

    loaded = await loader.load()

    assert standing(loaded) == (8, "source", "none")


async def test_a_changed_sidecar_file_may_name_another_policy_whose_versions_begin_anew(folder: Folder) -> None:
    loader, _ = await folder.start()
    folder.policy(3, name="other.yaml")
    folder.sidecar("file: other.yaml")

    loaded = await loader.load()

    assert standing(loaded) == (3, "source", "none")
    assert loaded.watched[1] == folder.path / "other.yaml"


async def test_a_sidecar_file_and_a_policy_of_two_readings_are_never_paired(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sidecar file is replaced, together with the policy, right after it was read."""
    loader = folder.loader()
    plain = module.read
    swaps = iter([True])

    def read_and_swap(files: list[Path]) -> module.Reading:
        reading = plain(files)
        if next(swaps, False):
            folder.policy(8)
            folder.sidecar(overrides="{timeout: 9s}")
        return reading

    monkeypatch.setattr(module, "read", read_and_swap)

    loaded = await loader.load()

    assert loaded.snapshot.version == 8
    assert loaded.snapshot.destinations["payments"].policy.timeout == 9.0


# Versions only rise


async def test_a_lower_version_is_refused_with_its_line(folder: Folder) -> None:
    loader, _ = await folder.start()
    folder.policy(6)

    with pytest.raises(InvalidDocument, match=r"policy\.yaml:1: version: must not be lower than 7, the highest seen"):
        await loader.load()


async def test_the_same_version_with_other_words_is_taken(folder: Folder) -> None:
    loader, _ = await folder.start()
    folder.policy(7, "via: false\n")

    assert (await loader.load()).snapshot.via is False


async def test_the_highest_version_seen_is_remembered_over_a_restart(folder: Folder) -> None:
    folder.sidecar("file: policy.yaml, cache: state")
    loader, _ = await folder.start()
    folder.policy(9)
    await loader.load()
    folder.policy(8)

    _, loaded = await folder.start()

    assert standing(loaded) == (9, "copy", "none")


async def test_a_cache_that_is_deleted_takes_the_floor_of_the_next_process_only(folder: Folder) -> None:
    """The floor is as safe as the disk it is kept on: who runs has it in memory, and writes it down again."""
    folder.sidecar("file: policy.yaml, cache: state")
    folder.policy(9)
    loader, _ = await folder.start()
    shutil.rmtree(folder.path / "state")
    folder.policy(8)
    with pytest.raises(InvalidDocument, match="must not be lower than 9"):
        await loader.load()
    _, begun_anew = await folder.start()
    folder.policy(10)
    await loader.load()
    folder.policy(9)
    _, again = await folder.start()

    assert standing(begun_anew) == (8, "source", "none")
    assert standing(again) == (10, "copy", "none")


async def test_an_empty_cache_is_no_cause_for_alarm_and_full_after_the_first_start(folder: Folder) -> None:
    folder.sidecar("file: policy.yaml, cache: state")
    (folder.path / "state").mkdir()

    _, loaded = await folder.start(strict=True)
    folder.policy(6)
    _, again = await folder.start(strict=True)

    assert (standing(loaded), loaded.warnings) == ((7, "source", "none"), ())
    assert standing(again) == (7, "copy", "none")
    assert "must not be lower than 7, the highest seen here (rollback)" in again.warnings[1]


async def test_a_cache_that_was_tampered_with_is_told_for_as_long_as_its_floor_is_gone(folder: Folder) -> None:
    folder.sidecar("file: policy.yaml, cache: state")
    folder.policy(9)
    await folder.start()
    (file,) = (folder.path / "state").iterdir()
    file.write_text(file.read_text().replace('"version":9', '"version":1').replace("platform", "somebody"))
    folder.policy(8)

    loader, loaded = await folder.start()
    folder.policy(10)
    later = await loader.load()

    for each, version in ((loaded, 8), (later, 10)):
        assert each.snapshot.version == version
        assert [line.partition(": ")[2] for line in each.warnings] == [
            "is not what was kept; it is put aside at the next good policy; the highest version seen is forgotten"
        ]


async def test_a_version_that_was_only_held_back_raises_the_floor_too(folder: Folder) -> None:
    folder.sidecar("file: policy.yaml, cache: state")
    await folder.start()
    folder.policy(9, "rollout: {percent: 0}\n")
    await folder.start()
    folder.policy(8)

    _, loaded = await folder.start()

    assert standing(loaded) == (7, "copy", "none")
    assert "must not be lower than 9" in loaded.warnings[1]


# Signatures


async def test_a_policy_signed_by_enough_of_the_pinned_keys_is_in_force(folder: Folder) -> None:
    folder.sidecar(keys("ann", "bob", "cyd", required=2))
    folder.signature(folder.policy(7), "cyd", "ann")

    _, loaded = await folder.start(strict=True)

    assert standing(loaded) == (7, "source", "none")
    assert loaded.watched[2] == folder.path / "policy.yaml.sig"


async def test_with_keys_pinned_a_policy_without_signature_is_a_failure(folder: Folder) -> None:
    folder.sidecar(keys("ann"))

    with pytest.raises(InvalidDocument, match="must be signed: there is no"):
        await folder.start()


async def test_nothing_of_an_unsigned_policy_is_parsed(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError

    folder.sidecar(keys("ann"))
    folder.signature(folder.policy(7), "eve")
    monkeypatch.setattr(module, "compiled", never)

    with pytest.raises(InvalidDocument, match="must be signed by 1 of ann"):
        await folder.start()


async def test_a_signature_that_comes_after_its_policy_completes_the_reload(folder: Folder) -> None:
    folder.sidecar(keys("ann"))
    folder.signature(folder.policy(7), "ann")
    loader, _ = await folder.start()
    content = folder.policy(8)
    with pytest.raises(InvalidDocument, match="not of these bytes"):
        await loader.load()

    folder.signature(content, "ann")

    assert standing(await loader.load()) == (8, "source", "none")


async def test_an_older_policy_replayed_with_its_own_signature_is_refused(folder: Folder) -> None:
    folder.sidecar(keys("ann"))
    old = folder.policy(6)
    old_signature = signed(old, "ann")
    folder.signature(folder.policy(7), "ann")
    await folder.start()
    (folder.path / "policy.yaml").write_bytes(old)
    (folder.path / "policy.yaml.sig").write_bytes(old_signature)

    _, loaded = await folder.start()

    assert standing(loaded) == (7, "copy", "none")
    assert "rollback" in loaded.warnings[1]


async def test_a_signature_for_a_sidecar_file_is_none_for_a_policy(folder: Folder) -> None:
    folder.sidecar(keys("ann"))
    content = folder.policy(7)
    (folder.path / "policy.yaml.sig").write_bytes(written([signer("ann").sign(content, kind="sidecar")]))

    with pytest.raises(InvalidDocument, match="not of these bytes"):
        await folder.start()


async def test_without_the_extra_pinned_keys_are_one_clear_line(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking() -> None:
        raise module.signature.LacksExtra("signatures need the extra `signed`: pip install 'retry-sidecar[signed]'")

    folder.sidecar(keys("ann"))
    monkeypatch.setattr(module.signature, "require_extra", lacking)

    with pytest.raises(InvalidDocument, match=r"sidecar\.yaml:2: policy\.keys: signatures need the extra `signed`"):
        await folder.start()


async def test_a_policy_past_its_expiry_is_kept(folder: Folder) -> None:
    folder.policy(7, "expires: 2020-01-01\n")

    _, loaded = await folder.start(strict=True)

    assert standing(loaded) == (7, "source", "none")
    assert loaded.snapshot.expires is not None


# Rollouts


def pods(version: int, percent: float) -> tuple[str, str]:
    """A pod that is chosen, and one that is not."""
    names = [f"checkout-{number}" for number in range(1000)]
    chosen = next(name for name in names if position("checkout", name, version) < percent)
    return chosen, next(name for name in names if not position("checkout", name, version) < percent)


CHOSEN, OTHER = pods(8, 5)
ROLLOUT = "rollout: {percent: 5, abort_when: {amplification: 1.2}}\n"


async def test_a_rollout_is_adopted_by_the_chosen_and_held_from_the_others(folder: Folder) -> None:
    (one, _), (other, before) = await folder.start(pod=CHOSEN), await folder.start(pod=OTHER)
    folder.policy(8, ROLLOUT)

    adopted, held = await one.load(), await other.load()

    assert standing(adopted) == (8, "source", "adopted")
    assert standing(held) == (7, "source", "held")
    assert held.offered == 8
    assert held.snapshot.policy_digest == before.snapshot.policy_digest


async def test_when_the_share_grows_to_all_the_others_adopt(folder: Folder) -> None:
    loader, _ = await folder.start(pod=OTHER)
    folder.policy(8, ROLLOUT)
    await loader.load()
    folder.policy(8, "rollout: {percent: 100}\n")
    everybody = await loader.load()
    folder.policy(8)

    done = await loader.load()

    assert standing(everybody) == (8, "source", "adopted")
    assert standing(done) == (8, "source", "none")


async def test_a_pod_that_starts_outside_the_share_takes_what_is_kept(folder: Folder) -> None:
    folder.sidecar("file: policy.yaml, cache: state")
    await folder.start(pod=OTHER)
    folder.policy(8, ROLLOUT)

    _, loaded = await folder.start(pod=OTHER)

    assert standing(loaded) == (7, "source", "held")


async def test_a_pod_that_starts_outside_the_share_takes_the_previous_policy_that_is_named(folder: Folder) -> None:
    folder.sidecar("file: policy.yaml, previous: previous.yaml")
    folder.policy(7, "defaults: {timeout: 4s}\n", name="previous.yaml")
    folder.policy(8, ROLLOUT)

    _, loaded = await folder.start(pod=OTHER)

    assert standing(loaded) == (7, "previous", "held")
    assert loaded.snapshot.destinations["payments"].policy.timeout == 4.0


async def test_a_previous_policy_must_be_signed_as_well(folder: Folder) -> None:
    folder.sidecar(keys("ann").replace("cache: state", "previous: previous.yaml"))
    folder.policy(7, name="previous.yaml")
    folder.signature(folder.policy(8, ROLLOUT), "ann")

    _, loaded = await folder.start(pod=OTHER)

    assert standing(loaded) == (0, "baseline", "held")
    assert "must be signed" in loaded.warnings[1]


async def test_a_pod_that_starts_outside_the_share_with_nothing_older_runs_on_the_baseline_loudly(
    folder: Folder,
) -> None:
    folder.policy(8, ROLLOUT)

    _, loaded = await folder.start(pod=OTHER)

    assert standing(loaded) == (0, "baseline", "held")
    assert loaded.offered == 8
    assert "version 8 is not for this pod" in loaded.warnings[1]


async def test_an_aborted_version_gives_way_to_the_one_before_and_does_not_come_back(folder: Folder) -> None:
    folder.sidecar("file: policy.yaml, cache: state")
    loader, _ = await folder.start(pod=CHOSEN)
    folder.policy(8, ROLLOUT)
    await loader.load()

    back = await loader.abort(8)
    again = await loader.load()
    folder.policy(8)  # for everybody now, but it is the version that did harm here
    insisted = await loader.load()
    _, restarted = await folder.start(pod=CHOSEN)
    folder.policy(9)
    next_one = await loader.load()

    assert standing(back) == standing(again) == standing(insisted) == (7, "source", "aborted")
    assert standing(restarted) == (7, "source", "aborted")
    assert standing(next_one) == (9, "source", "none")


async def test_an_aborted_version_that_was_the_first_gives_way_to_the_baseline(folder: Folder) -> None:
    folder.policy(8, ROLLOUT)
    loader, adopted = await folder.start(pod=CHOSEN)

    back = await loader.abort(8)

    assert standing(adopted) == (8, "source", "adopted")
    assert standing(back) == (0, "baseline", "aborted")


async def test_a_dry_run_leaves_the_older_version_in_force_and_names_the_candidate(folder: Folder) -> None:
    loader, _ = await folder.start()
    folder.policy(8, "dry_run: true\ndefaults: {timeout: 4s}\n")

    loaded = await loader.load()
    again = await loader.load()

    assert standing(loaded) == (7, "source", "dry_run")
    assert loaded.candidate is not None
    assert loaded.candidate.version == 8
    assert again.candidate is loaded.candidate


async def test_a_dry_run_for_some_pods_is_held_from_the_others(folder: Folder) -> None:
    loader, _ = await folder.start(pod=OTHER)
    folder.policy(8, "dry_run: true\nrollout: {percent: 5}\n")

    loaded = await loader.load()

    assert standing(loaded) == (7, "source", "held")
    assert loaded.candidate is None


async def test_a_held_policy_is_resolved_again_when_the_sidecar_file_changes(folder: Folder) -> None:
    loader, _ = await folder.start(pod=OTHER)
    folder.policy(8, ROLLOUT)
    await loader.load()
    folder.sidecar(overrides="{timeout: 9s}")

    loaded = await loader.load()

    assert standing(loaded) == (7, "source", "held")
    assert loaded.snapshot.destinations["payments"].policy.timeout == 9.0


async def test_what_is_mounted_by_itself_is_named(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        module, "mounted_by_themselves", lambda files: [file for file in files if "policy" in file.name]
    )

    _, loaded = await folder.start()

    assert loaded.warnings == (
        f"{folder.path / 'policy.yaml'} is mounted by itself (subPath?) and will never be updated: mount its directory",
    )


async def test_loading_leaves_the_loop_free(folder: Folder) -> None:
    """A policy of the greatest size takes a second to judge; requests do not wait for it."""
    loader, _ = await folder.start()
    folder.policy(8, "destinations:\n" + "".join(f"  d{number}: {{timeout: 3s}}\n" for number in range(400)))
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await turn()
            turns += 1

    task = asyncio.create_task(others())
    loaded = await loader.load()
    task.cancel()

    assert loaded.origin is PolicyOrigin.SOURCE
    assert loaded.rollout is RolloutState.NONE
    assert turns > 20


# Authority


class Managed(Folder):
    """A folder whose policy the platform names, in a folder of its own."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        (path / "sidecar.yaml").write_text("service: checkout\n")
        (path / "etc").mkdir()
        self.authority("file: policy.yaml")
        self.policy(9, name="etc/policy.yaml")

    def authority(self, policy: str) -> None:
        (self.path / "etc" / "authority.yaml").write_text(f"policy: {{{policy}}}\n")

    def loader(self, pod: str = POD) -> PolicyLoader:
        boot, authority = self.path / "sidecar.yaml", self.path / "etc" / "authority.yaml"
        return PolicyLoader(boot, pod, authority=authority, wall=lambda: NOW)


async def test_the_authority_names_the_policy_and_is_watched(tmp_path: Path) -> None:
    managed = Managed(tmp_path)

    loader, loaded = await managed.start()
    managed.policy(10, name="etc/next.yaml")
    managed.authority("file: next.yaml")
    later = await loader.load()

    etc = tmp_path / "etc"
    assert (standing(loaded), loaded.snapshot.managed) == ((9, "source", "none"), True)
    assert loaded.watched == (tmp_path / "sidecar.yaml", etc / "authority.yaml", etc / "policy.yaml")
    assert standing(later) == (10, "source", "none")


async def test_without_an_authority_the_policy_is_unmanaged(folder: Folder) -> None:
    _, loaded = await folder.start()

    assert not loaded.snapshot.managed


async def test_a_service_that_names_its_policy_under_an_authority_does_not_start(tmp_path: Path) -> None:
    managed = Managed(tmp_path)
    managed.sidecar()

    with pytest.raises(InvalidDocument, match=r"sidecar\.yaml:2: policy: is not for the service to say"):
        await managed.start()


async def test_the_authoritys_keys_must_have_signed(tmp_path: Path) -> None:
    managed = Managed(tmp_path)
    listed = ", ".join(f'{name}: "{key}"' for name, key in pinned("ann").items())
    managed.authority(f"file: policy.yaml, keys: {{{listed}}}")

    _, unsigned = await managed.start()
    managed.signature(managed.policy(9, name="etc/policy.yaml"), "ann", name="etc/policy.yaml")
    _, believed = await managed.start()

    assert (standing(unsigned)[:2], standing(believed)[:2]) == ((0, "baseline"), (9, "source"))
    assert "must be signed" in unsigned.warnings[1]


async def test_an_authority_that_is_wrong_or_not_there_is_no_start(tmp_path: Path) -> None:
    managed = Managed(tmp_path)
    managed.authority("file: policy.yaml, polll: 3s")

    with pytest.raises(InvalidDocument, match=r"authority\.yaml:1: policy\.polll: is not known; did you mean poll"):
        await managed.start()
    (tmp_path / "etc" / "authority.yaml").unlink()
    with pytest.raises(InvalidDocument, match=r"authority\.yaml: can not be read: No such file"):
        await managed.start()


async def test_a_platforms_policy_that_is_broken_does_not_make_pods_crash(tmp_path: Path) -> None:
    managed = Managed(tmp_path)
    managed.policy(9, "defautls: {}\n", name="etc/policy.yaml")

    _, loaded = await managed.start()

    assert standing(loaded) == (0, "baseline", "none")
    with pytest.raises(InvalidDocument, match="defautls"):
        await managed.start(strict=True)


async def test_flags_are_under_the_authority_too(tmp_path: Path) -> None:
    Managed(tmp_path)
    boot = from_flags("s", ["a=http://a:1"], None, None, None, [])

    loader = PolicyLoader(boot, POD, authority=tmp_path / "etc" / "authority.yaml", wall=lambda: NOW)

    assert standing(await loader.first(strict=True)) == (9, "source", "none")


async def test_a_version_that_nothing_could_ever_follow_is_refused(folder: Folder) -> None:
    loader, _ = await folder.start()
    folder.policy(10**24 - 1)
    with pytest.raises(InvalidDocument, match=r"version: must be between 1 and 9007199254740991, got 9999"):
        await loader.load()
    folder.policy(2**53 - 1)
    with pytest.raises(InvalidDocument, match=r"policy\.yaml:1: version: must be at most .*nothing could ever follow"):
        await loader.load()
    folder.policy(8)

    assert standing(await loader.load()) == (8, "source", "none")


async def test_a_version_that_was_remembered_past_all_versions_is_forgotten_loudly(folder: Folder) -> None:
    folder.sidecar("file: policy.yaml, cache: state")
    await folder.start()
    kept = next((folder.path / "state").iterdir())
    kept.write_text(kept.read_text().replace('"version":7,"aborted"', f'"version":{10**24},"aborted"'))

    _, loaded = await folder.start()

    assert standing(loaded) == (7, "source", "none")
    assert "the highest version seen is forgotten" in loaded.warnings[0]
