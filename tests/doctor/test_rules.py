import pytest

from sidecar.doctor import rules as module
from sidecar.doctor.diagnosis import Diagnosis, Mark
from sidecar.doctor.rules import Rules, read_rules, rules
from sidecar.interception.netfilter import RulesRefused
from sidecar.interception.redirection import Redirection
from tests.fakes.documents import SIDECAR, Loading

OURS = Redirection((80, 8080), 65532, 16007)
TRANSPARENT = SIDECAR + "egress: {transparent: {}}\n"


def judged(
    monkeypatch: pytest.MonkeyPatch,
    loading: Loading,
    text: str | RulesRefused | None,
    sidecar: str = TRANSPARENT,
    *,
    uid: int | None = None,
    intercepted: int | None = None,
) -> list[Diagnosis]:
    def here() -> str | None:
        if isinstance(text, RulesRefused):
            raise text
        return text

    monkeypatch.setattr(module, "rules_here", here)
    return list(rules(loading(sidecar=sidecar), sidecar_uid=uid, intercepted=intercepted))


@pytest.mark.parametrize("text", [OURS.nft, OURS.iptables(4)], ids=["nft", "iptables"])
def test_the_rules_that_we_write_are_read(text: str) -> None:
    assert read_rules(text) == Rules((80, 8080), 65532, 16007)


def test_one_port_is_listed_without_braces() -> None:
    assert read_rules("meta skuid 7 return\n tcp dport 80 redirect to :16007") == Rules((80,), 7, 16007)
    assert read_rules("table inet retry_sidecar {\n}") is None


@pytest.mark.parametrize(
    ("text", "sidecar", "uid", "word"),
    [
        (OURS.nft, TRANSPARENT, 65532, ""),
        (OURS.nft, TRANSPARENT, None, ""),
        (OURS.nft, TRANSPARENT, 1000, "rules_uid"),
        (OURS.nft, SIDECAR, None, "rules_without_listener"),
        (None, TRANSPARENT, None, "rules_missing"),
    ],
)
def test_rules_and_listener_have_to_agree(
    monkeypatch: pytest.MonkeyPatch, loading: Loading, text: str | None, sidecar: str, uid: int | None, word: str
) -> None:
    (told,) = judged(monkeypatch, loading, text, sidecar, uid=uid)

    assert told.word == word


def test_without_either_there_is_nothing_to_say(monkeypatch: pytest.MonkeyPatch, loading: Loading) -> None:
    assert judged(monkeypatch, loading, None, SIDECAR) == []
    assert judged(monkeypatch, loading, RulesRefused("nft is not installed"), SIDECAR) == []


@pytest.mark.parametrize(("intercepted", "mark"), [(None, Mark.UNJUDGED), (0, Mark.UNJUDGED), (3, Mark.FINE)])
def test_rules_that_can_not_be_read_are_known_by_what_was_intercepted(
    monkeypatch: pytest.MonkeyPatch, loading: Loading, intercepted: int | None, mark: Mark
) -> None:
    (told,) = judged(monkeypatch, loading, RulesRefused("nft: Operation not permitted"), intercepted=intercepted)

    assert told.mark is mark
