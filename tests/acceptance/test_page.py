"""The live page as people meet it: in Chromium, by its text, its contrast, its keyboard and its names."""

import math
import re
import urllib.request
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser

from sidecar.engine.destination import Destination
from sidecar.engine.outcome import Result
from sidecar.engine.policy import DestinationPolicy
from sidecar.engine.retry import Admission, RetryState
from sidecar.engine.verdict import Refusal
from sidecar.telemetry.history import History
from sidecar.telemetry.record import AttemptRecord
from tests.admin.scenery import EXCEPTION, SceneClock, ShownState, storm
from tests.admin.shown import Look, Shown, chromium, shown
from tests.telemetry.sources import key_store
from tests.telemetry.test_history import RECORD

TIMES = "\N{MULTIPLICATION SIGN}"
HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)</script>'

Open = Callable[..., Look]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as one:
        yield one


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    contexts = []

    def opened(stand: Shown, *, width: int = 1280, height: int = 900, **wishes: Any) -> Look:
        context = browser.new_context(viewport={"width": width, "height": height}, locale="en-GB", **wishes)
        contexts.append(context)
        return Look(context.new_page()).open(stand.url)

    yield opened
    for context in contexts:
        context.close()


def stormy(after: int = 3) -> ShownState:
    state = storm(90, after=after)
    state.granted = [EXCEPTION]
    return state


@pytest.fixture(scope="module")
def in_storm() -> Iterator[Shown]:
    """Looked at by many tests, changed by none."""
    with shown(stormy(-1)) as stand:
        yield stand


def plain(*names: str) -> ShownState:
    """Destinations that have not been called yet."""
    clock = SceneClock()
    destinations = {name: Destination(name, DestinationPolicy(), lambda: 0.5, 0.0) for name in names}
    return ShownState(destinations=destinations, history=History(clock), clock=clock, observations={})


def call(state: ShownState, name: str, status: int, times: int = 1) -> None:
    destination = state.destinations[name]
    for _ in range(times):
        exchange = RetryState(destination, state.clock.now, -math.inf)
        if exchange.admit(state.clock.now) is Admission.GO:
            exchange.on_status(state.clock.now + 0.01, status, None)
            exchange.finish(state.clock.now + 0.01, Result.SUCCESS if status < 400 else Result.SERVER_ERROR)
        else:
            exchange.finish(state.clock.now, Result.REFUSED)


def test_the_first_row_answers_whether_it_amplifies_towards_whom_and_why_retries_were_refused(
    in_storm: Shown, open_page: Open
) -> None:
    look = open_page(in_storm)

    assert re.fullmatch(r"payments is failing: (\d+ %|nearly all|all)( of)? requests", look.text("h1"))
    assert "refused: breaker_open" in look.text("#detail")
    assert re.fullmatch(rf"1\.0\d{TIMES}", look.text("#amplification"))
    assert "the budget allows 1." in look.text("#amplification-note")
    assert look.text("#towards").startswith("ledger\n")
    assert look.text("#reasons").startswith("breaker_open\n")
    assert look.page.locator("#verdict, .answers").evaluate_all(
        "elements => elements.every((one) => one.getBoundingClientRect().bottom < 500)"
    )


def test_a_card_says_what_metrics_says(in_storm: Shown, open_page: Open) -> None:
    look = open_page(in_storm)
    with urllib.request.urlopen(f"{in_storm.url}metrics", timeout=5) as answer:
        metrics = answer.read().decode()

    def metric(name: str) -> float:
        found = re.findall(rf'^{name}{{destination="payments"[^}}]*}} (\S+)$', metrics, re.MULTILINE)
        return sum(map(float, found))

    card = look.page.locator("article.card", has=look.page.get_by_role("heading", name="payments"))
    text = card.inner_text()
    assert f"{metric('sidecar_requests_total'):,.0f} requests, " in text
    assert f"{metric('sidecar_attempts_total'):,.0f} attempts" in text
    assert f"{metric('sidecar_amplification_ratio'):.2f}{TIMES}" in text
    assert f"retries left\n{metric('sidecar_budget_balance'):.1f}" in text
    assert f"in flight\n{metric('sidecar_in_flight'):.0f} of {metric('sidecar_concurrency_limit') // 1:.0f}" in text


def test_the_gate_says_what_it_did_by_route_and_how_its_store_is(in_storm: Shown, open_page: Open) -> None:
    look = open_page(in_storm)

    keys = look.page.locator("section#keys")
    assert re.split(r"[\t\n]+", keys.locator("tbody").inner_text()) == [
        *("pay", "13", "8", "8", "2, 20 %", "in_flight 3", "applied 6")
    ]
    said = dict(zip(keys.locator("dt").all_inner_texts(), keys.locator("dd").all_inner_texts(), strict=True))
    assert said["outcomes unknown"] == "3 to be found out"
    assert said["store of keys"] == "does not answer"
    assert said["store failures"] == "4"
    assert keys.get_by_role("link", name="in_flight").get_attribute("href") == "/refusals/in_flight"
    assert keys.get_by_role("link", name="outcomes unknown").is_visible()


def test_the_figures_of_the_gate_move_with_it(open_page: Open) -> None:
    state = plain("payments")
    with shown(state) as stand:
        look = open_page(stand)
        pay = dict(state.key_outcomes["pay"])
        stand.turn(lambda: setattr(state, "key_outcomes", {"pay": {**pay, "new": 18, "key_missing": 1}}))
        look.wait("document.querySelector('#keys tbody').innerText.includes('key_missing')")
        text = look.page.locator("section#keys tbody").inner_text()
        stand.turn(lambda: setattr(state, "key_store", None))
        look.wait("document.querySelector('#keys').hidden")

    assert re.split(r"[\t\n]+", text)[:3] == ["pay", "24", "18"]
    assert "key_missing 1" in text


def test_nothing_is_refused_by_the_browser_nothing_complained_about_and_nobody_else_asked(
    in_storm: Shown, open_page: Open
) -> None:
    look = open_page(in_storm)
    look.page.check("[name=span][value='900']")
    look.page.get_by_role("button", name=re.compile("Show all")).click()

    assert look.violations == []
    assert look.complaints == []
    assert all(url.startswith(in_storm.url) for url in look.asked)


def test_the_policy_of_the_browser_is_really_on(in_storm: Shown, open_page: Open) -> None:
    look = open_page(in_storm)
    look.page.evaluate("document.body.setAttribute('onclick', 'window.hit = 1')")
    look.page.click("h1")
    look.page.evaluate("fetch('http://127.0.0.1:9/').catch(() => 0)")

    look.wait("violations.length >= 2")
    assert look.page.evaluate("window.hit") is None


def test_news_come_without_a_reload(open_page: Open) -> None:
    with shown(plain("payments")) as stand:
        look = open_page(stand)
        before = look.text("h1")
        stand.turn(lambda: call(stand.state, "payments", 200, 30))
        look.wait("document.querySelector('h1').textContent.startsWith('Calm')")
        stand.turn(lambda: call(stand.state, "payments", 503, 9))
        look.wait("document.querySelector('h1').textContent.startsWith('payments is failing: 23 %')")

        spoken = look.page.get_by_role("status").inner_text()

    assert before == "Quiet: no requests in the last 10 seconds"
    assert spoken.startswith("payments is failing")


def test_listeners_are_told_of_news_and_not_of_every_digit(open_page: Open) -> None:
    with shown(plain("payments")) as stand:
        look = open_page(stand)
        stand.turn(lambda: call(stand.state, "payments", 200, 30))
        look.wait("document.querySelector('#spoken').textContent.startsWith('Calm')")
        first = look.page.text_content("#spoken")
        stand.turn(lambda: call(stand.state, "payments", 200, 60))
        look.wait("document.querySelector('#detail').textContent.startsWith('45 requests')")

        assert look.page.text_content("#spoken") == first
        assert look.page.locator("[aria-live]").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("after", [-1, 30], ids=["storm", "calm"])
def test_every_text_has_the_contrast_that_it_needs(open_page: Open, scheme: str, after: int) -> None:
    with shown(stormy(after)) as stand:
        look = open_page(stand, color_scheme=scheme)
        look.page.get_by_role("button", name=re.compile("Show all")).click()
        look.page.locator("summary").first.click()
        look.page.wait_for_selector("td.place")

        assert look.faint() == []
        assert len(look.page.evaluate("() => document.body.innerText.split('\\n')")) > 100


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_other_moods_have_it_too(open_page: Open, scheme: str) -> None:
    state = plain("payments", "ledger", "idle")
    with shown(state) as stand:
        stand.turn(lambda: call(state, "payments", 503, 12))
        state.destinations["ledger"].tally.requests[Result.SUCCESS] += 50
        state.destinations["ledger"].attempts_lately.newest += 200
        state.destinations["ledger"].requests_lately.newest += 50
        stand.turn()
        look = open_page(stand, color_scheme=scheme)
        amplifying = look.page.get_attribute("body", "data-level"), look.faint()
        stand.stop()
        look.wait("document.body.dataset.link === 'lost'")
        lost = look.faint()

    assert amplifying == ("amplifying", [])
    assert lost == []


@pytest.mark.parametrize("width", [320, 360, 390, 768, 1024, 1920])
def test_no_width_needs_scrolling_sideways(in_storm: Shown, open_page: Open, width: int) -> None:
    look = open_page(in_storm, width=width, height=740)
    look.page.locator("summary").first.click()

    assert look.page.evaluate("document.documentElement.scrollWidth") == width
    assert (
        look.page.evaluate(
            "[...document.querySelectorAll('main *')].filter((one) => !one.closest('.unseen, .scroll, svg') "
            "&& one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.className)"
        )
        == []
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out_of_a_phone_in_a_storm(in_storm: Shown, open_page: Open, scheme: str) -> None:
    look = open_page(in_storm, width=390, height=844, color_scheme=scheme)

    sticking_out = look.page.evaluate(
        "[...document.querySelectorAll('body *')].filter((one) => !one.closest('.scroll, .unseen') "
        "&& one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.outerHTML.slice(0, 80))"
    )

    assert sticking_out == []
    assert look.page.evaluate("document.documentElement.scrollWidth") == 390


def test_the_scale_of_attempts_per_request_shows_the_bound_too(in_storm: Shown, open_page: Open) -> None:
    look = open_page(in_storm)
    look.page.wait_for_selector(".plot.amplification .stroke.bound")

    highest = look.page.locator(".plot.amplification .stroke.bound").evaluate_all(
        "lines => lines.filter((one) => one.getAttribute('d')).map((one) => one.getBBox().y)"
    )

    assert highest
    assert min(highest) > 1.2


def test_the_bars_of_all_exchanges_have_one_scale_which_is_said(open_page: Open) -> None:
    state = plain("payments")
    for length in (0.1, 1.0):
        attempt = AttemptRecord(1, "first", "http://10.0.0.1:8080", "503", length, 0.0)
        state.history.record(replace(RECORD, request_id=str(length), seconds=length, attempts=(attempt,)))
    with shown(state) as stand:
        look = open_page(stand)
        bars = look.page.locator("#exchanges .attempt")
        widths = bars.evaluate_all("all => all.map((one) => one.getBoundingClientRect().width)")
        said = look.page.locator("#exchanges-scale").inner_text()

    assert widths[0] == pytest.approx(10 * widths[1], rel=0.05)
    assert said == "Attempts, 0 to 1.00 s"


def test_an_answer_of_the_sidecars_own_is_told_from_the_destinations(open_page: Open) -> None:
    state = plain("payments")
    theirs = AttemptRecord(1, "first", "http://10.0.0.1:8080", "503", 0.1, 0.0)
    state.history.record(replace(RECORD, status=503, attempts=(theirs,)))
    state.history.record(replace(RECORD, status=503, attempts=(), refusal="breaker_open"))
    with shown(state) as stand:
        look = open_page(stand)
        results = look.page.locator("#exchanges .result").all_inner_texts()

    assert ["by the sidecar" in result for result in results] == [True, False]
    assert "from payments" in results[1]


def test_while_all_is_well_no_runbook_is_offered_but_the_list_of_all(in_storm: Shown, open_page: Open) -> None:
    calm = plain("payments")
    calm.keys_unknown, calm.key_store = 0, key_store(0)
    call(calm, "payments", 200, 30)
    calm.history.sample(calm.destinations)
    visible = "all => all.filter((one) => one.checkVisibility()).map((one) => one.innerText)"
    with shown(calm) as stand:
        offered = open_page(stand).page.locator("a[href^='/runbooks/']").evaluate_all(visible)

    in_trouble = open_page(in_storm).page.locator("a[href^='/runbooks/']").evaluate_all(visible)

    assert offered == ["all runbooks"]
    assert len(in_trouble) > 10


def test_what_was_not_sent_is_counted_as_requests_and_as_retries(in_storm: Shown, open_page: Open) -> None:
    look = open_page(in_storm)

    words = look.page.locator("#q3").inner_text(), look.page.locator("#reasons-note").inner_text()

    assert words[0] == "What was not sent, and why?"
    assert re.fullmatch(r"In the last 10 s: [\d,]+ requests? and [\d,]+ (retry|retries)\.", words[1])


def test_a_limit_of_ours_that_holds_requests_back_is_named_as_the_cause(open_page: Open) -> None:
    state = plain("payments")
    payments = state.destinations["payments"]
    call(state, "payments", 200, 100)
    payments.tally.requests[Result.REFUSED] += 40
    payments.tally.refusals[Refusal.CONCURRENCY_LIMIT] += 40
    state.history.sample(state.destinations)
    with shown(state) as stand:
        look = open_page(stand)
        words = look.page.locator("#words").inner_text()
        badge = look.page.locator(".badge").inner_text()

    assert words == "Held back by our in-flight limit, not by payments: 40 not sent in the last 10 seconds"
    assert badge == "Held back by us"


def test_on_a_phone_words_stay_whole_and_nothing_is_cut_off(in_storm: Shown, open_page: Open) -> None:
    look = open_page(in_storm, width=360, height=740)
    look.page.wait_for_selector("#exceptions td")

    heights = look.page.locator("#exceptions tbody tr").evaluate_all(
        "rows => rows.map((row) => row.getBoundingClientRect().height)"
    )
    cut = look.page.locator("figcaption span, dd, .badge, .figure").evaluate_all(
        "all => all.filter((one) => one.clientWidth && one.scrollWidth > one.clientWidth + 1)"
        ".map((one) => one.innerText)"
    )

    assert max(heights) < 130
    assert cut == []


def test_an_alerts_link_shows_the_part_of_the_page_that_it_names(in_storm: Shown, open_page: Open) -> None:
    look = open_page(in_storm)
    look.page.goto(f"{in_storm.url}#h-exceptions")
    look.page.reload()
    look.page.wait_for_selector("#exceptions td")

    heading = look.page.locator("#h-exceptions")
    heading.wait_for(state="visible")

    assert heading.evaluate(
        "one => { const box = one.getBoundingClientRect(); return box.top >= 0 && box.bottom <= innerHeight; }"
    )
    assert look.page.get_by_role("link", name="exception expiring").get_attribute("href") == (
        "/runbooks/SidecarExceptionExpiring"
    )


def test_a_word_of_refusal_leads_to_what_it_means_and_its_link_stays_while_its_number_changes(
    open_page: Open,
) -> None:
    with shown(stormy(-1)) as stand:
        look = open_page(stand)
        word = look.page.locator("#reasons").get_by_role("link", name="breaker_open")
        word.focus()
        look.page.evaluate("window.word = document.activeElement")
        amount = look.text("#reasons li:first-child b")

        stand.inside(lambda: call(stand.state, "payments", 503, 500))
        stand.turn()
        look.wait(f"document.querySelector('#reasons li:first-child b').innerText !== '{amount}'")
        assert look.page.evaluate("document.activeElement === window.word")

        word.press("Enter")
        look.page.wait_for_url("**/refusals/breaker_open")
        assert look.page.inner_text("body").startswith("### breaker_open\n")


def test_every_word_of_refusal_on_the_page_is_a_link(in_storm: Shown, open_page: Open) -> None:
    look = open_page(in_storm)

    for place in ("#reasons .name", ".refusals .reason", ".exchanges .refusal"):
        words = look.page.locator(place)
        assert words.count() > 0, place
        assert words.locator("a.word").count() == words.count(), place
    addresses = look.page.locator("a.word").evaluate_all("all => [...new Set(all.map((one) => one.href))]")
    for address in addresses:
        with urllib.request.urlopen(address, timeout=5) as answer:
            assert answer.status == 200


def test_the_keyboard_reaches_everything_and_one_sees_where_it_is(in_storm: Shown, open_page: Open) -> None:
    look = open_page(in_storm)
    walked = []
    for _ in range(60):
        look.page.keyboard.press("Tab")
        walked.append(
            look.page.evaluate(
                """() => {
                  const at = document.activeElement;
                  const seen = at.matches("[type=radio]") ? at.nextElementSibling : at;
                  const name = at.matches("[type=radio]") ? at.parentElement.innerText : at.innerText;
                  return [name.trim().split("\\n")[0], getComputedStyle(seen).outlineStyle !== "none"];
                }"""
            )
        )

    names = [name for name, _ in walked]
    assert names[0] == "Skip to the verdict"
    assert names[1] in {"1 min", "5 min"}
    assert any(name.startswith("Show all") for name in names)
    assert {"payments", "ledger", "search", "JSON", "metrics"} <= {name.split(" ")[0] for name in names}
    assert all(visible for _, visible in walked[: names.index("readiness") + 1])


def test_the_keyboard_works_what_it_reaches(in_storm: Shown, open_page: Open) -> None:
    look = open_page(in_storm)
    look.page.focus("[name=span]:checked")
    look.page.keyboard.press("ArrowRight")
    chosen = look.page.input_value("[name=span]:checked")
    look.page.focus("#more")
    look.page.keyboard.press("Enter")
    rows = look.page.locator("#exchanges .row").count()
    look.page.locator("summary").first.focus()
    look.page.keyboard.press("Enter")
    look.page.wait_for_selector("details[open] td.place")

    assert chosen in {"300", "900"}
    assert rows > 12


def test_everything_has_a_name_and_a_place_for_those_who_do_not_see_it(in_storm: Shown, open_page: Open) -> None:
    look = open_page(in_storm)
    tree = look.page.locator("body").aria_snapshot()
    charts = look.page.get_by_role("img").all()
    levels = look.page.evaluate("[...document.querySelectorAll('h1, h2, h3')].map((one) => Number(one.tagName[1]))")

    for landmark in ("- banner:", "- main:", "- contentinfo:", '- navigation "The same for programs"'):
        assert landmark in tree
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert len(charts) >= 3 * 5
    assert all(chart.get_attribute("aria-label") for chart in charts)
    assert 'columnheader "Attempts, 0 to' in tree
    assert re.search(r'img "Breaker, last \d+ min: now open, opened \d+ times"', tree)
    assert re.search(r'img "Attempts per request, last 1 min: now 1\.\d\d., highest 1\.\d\d., the budget allows', tree)
    assert re.search(r'img "attempt 1 to http://10\.0\.0\.\d:8080: 503 in', tree)
    assert '- group "Time shown"' in tree


def test_hostile_names_and_paths_are_text(open_page: Open) -> None:
    state = plain("payments", HOSTILE)
    evil = replace(
        RECORD,
        destination=HOSTILE,
        target="/" + HOSTILE,
        method="GET",
        attempts=(AttemptRecord(1, "first", HOSTILE, HOSTILE, 0.004, 0.0),),
        refusal=HOSTILE,
    )
    state.granted = [{**EXCEPTION, "id": HOSTILE, "reason": HOSTILE, "destination": HOSTILE}]
    with shown(state) as stand:
        stand.turn(lambda: (call(state, HOSTILE, 503, 30), state.history.record(evil)))
        look = open_page(stand)
        look.page.wait_for_selector("#exchanges .row")
        look.page.wait_for_selector("#exceptions td")

        assert HOSTILE in look.text("h1")
        assert look.text("#exchanges").count(HOSTILE) >= 3
        assert look.page.locator("main img, main script").count() == 0
        assert (look.violations, look.complaints) == ([], [])


def test_fifty_destinations_are_one_page_with_those_in_trouble_first(open_page: Open) -> None:
    state = plain(*(f"service-{number:02}" for number in range(50)))
    with shown(state) as stand:
        for _ in range(3):
            stand.turn(lambda: [call(state, name, 200, 5) for name in state.destinations])
        stand.turn(lambda: call(state, "service-37", 503, 8))
        look = open_page(stand, width=1280)
        cards = look.page.locator("article.card")
        names = cards.locator("h3").all_inner_texts()
        folded = look.page.locator("article.card.folded").count()
        look.page.get_by_role("button", name="Show charts").first.click()
        opened = look.page.locator("article.card.folded").count()
        width = look.page.evaluate("document.documentElement.scrollWidth")

    assert len(names) == 50
    assert names[0] == "service-37"
    assert (folded, opened) == (49, 48)
    assert width == 1280


def test_no_destination_is_said_so(open_page: Open) -> None:
    with shown(plain()) as stand:
        look = open_page(stand)

        assert look.text("h1") == "Quiet: no requests in the last 10 seconds"
        assert look.text("#no-destinations") == "No destination is named yet."
        assert look.complaints == []


def test_before_any_traffic_it_is_quiet_and_whole(open_page: Open) -> None:
    with shown(plain("payments")) as stand:
        stand.turn()
        look = open_page(stand)

        assert look.text("#amplification") == f"1.00{TIMES}"
        assert look.text("#no-exchanges").startswith("Nothing was retried")
        assert look.page.get_by_role("img", name="Attempts per request: no traffic yet").count() == 1
        assert look.complaints == []


def test_after_the_sidecar_has_stopped_it_says_so_and_comes_back_with_it(open_page: Open) -> None:
    state = plain("payments")
    with shown(state) as stand:
        stand.turn(lambda: call(state, "payments", 200, 10))
        look = open_page(stand)
        stand.stop()
        look.wait("document.body.dataset.link === 'lost'")
        said, notice = look.text("#link"), look.text("#notice")
        state.history = History(state.clock)
        stand.start()
        look.wait("document.body.dataset.link === 'live'")
        stand.turn(lambda: call(state, "payments", 200, 20))
        look.wait("document.querySelector('.totals').textContent.includes('30 requests')")

        assert said.startswith("Disconnected")
        assert "as it was at" in notice
        assert look.page.locator("#notice").is_hidden()


def test_a_silent_stream_is_told_like_a_lost_one(open_page: Open) -> None:
    with shown(plain("payments")) as stand:
        look = open_page(stand)

        look.wait("document.body.dataset.link === 'lost'")  # nobody turns the seconds here

        assert "last heard" in look.text("#link")


def test_a_sidecar_that_is_not_ready_or_refused_its_policy_says_why(open_page: Open) -> None:
    state = plain("payments")
    state.reasons = ["draining: finishing what is under way before the end"]
    state.reloads = replace(state.reloads, error="policy.yaml:12: budget.ratio: must be at most 0.2, got 0.9")
    with shown(state) as stand:
        look = open_page(stand)

        assert "Not ready: draining" in look.text("#notice")
        assert "policy.yaml:12: budget.ratio" in look.text("#notice")


def test_the_policy_is_shown_with_where_each_number_was_written(in_storm: Shown, open_page: Open) -> None:
    look = open_page(in_storm)
    look.page.locator("summary", has_text="payments").click()
    row = look.page.locator("details[open] tr", has_text="budget.ratio")

    assert row.inner_text().split("\t") == ["budget.ratio", "0.1", "default", "policy.yaml:14"]
    assert "version 7 · owned by platform-reliability" in look.text("#policy-words")


def test_an_exception_is_shown_with_its_countdown(in_storm: Shown, open_page: Open) -> None:
    look = open_page(in_storm, timezone_id="UTC")
    look.page.clock.set_fixed_time("2026-12-03T21:30:00Z")
    look.wait("document.querySelector('#exceptions .left')?.textContent === '26 h 30 min'")

    text = look.text("#exceptions tbody")
    assert all(word in text for word in ("EX-2026-014", "ledger", "budget.ratio = 0.35", "policy.yaml:41", "a.lee"))


def test_pointing_at_a_chart_tells_what_was_then(in_storm: Shown, open_page: Open) -> None:
    look = open_page(in_storm)
    canvas = look.page.locator(".plot.load .canvas").first
    box = canvas.bounding_box()
    assert box is not None
    look.page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 20)

    assert re.fullmatch(r"\d\d:\d\d:\d\d", look.page.locator(".axis .pointed").first.inner_text())
    assert look.page.locator(".hair").count() == 4


def test_those_who_want_no_motion_get_none(in_storm: Shown, open_page: Open) -> None:
    moving = open_page(in_storm).page.evaluate("document.getAnimations().length")
    still = open_page(in_storm, reduced_motion="reduce").page.evaluate("document.getAnimations().length")

    assert (moving, still) == (1, 0)


def test_a_page_that_watches_for_long_keeps_fifteen_minutes_and_no_more(open_page: Open) -> None:
    state = storm(240)
    with shown(state) as stand:
        look = open_page(stand)
        for _ in range(20):
            stand.inside(lambda: [stand.state.history.sample(state.destinations) for _ in range(60)])
            stand.turn()
        look.wait("document.querySelector('#spoken').textContent !== ''")
        stand.turn()
        points = look.page.evaluate("document.querySelectorAll('svg *').length")

    assert points < 3000
    assert look.complaints == []
