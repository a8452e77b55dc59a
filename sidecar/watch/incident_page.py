"""An incident on one page: HTML with its plots inside, no script, nothing from elsewhere; to be mailed or printed."""

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import tzinfo
from pathlib import Path
from typing import Final

from sidecar.telemetry.headline import ENOUGH
from sidecar.watch.incident import OURS, Episode, Incident, Span
from sidecar.watch.plot import PATTERNS, Clock, ceiling, plot

SHOWN_EPISODES: Final = 6
NONE: Final = "&ndash;"
STYLE: Final = Path(__file__).with_name("incident.css")


def page(
    incidents: Sequence[Incident],
    *,
    service: str,
    version: str,
    told_at: float,
    span: Span,
    zone: tzinfo,
    observing: Sequence[str] = (),
    bypassing: Mapping[str, int] | None = None,
) -> str:
    """The whole page. Times are shown in `zone`; `observing` says what policies would have done that only observe.

    `bypassing` has the connections that go straight to a destination when it is told, by name.
    """
    when = Clock(zone, span)
    if incidents:
        troubled = [one for one in incidents if one.episodes] or incidents[:1]
        well = [one for one in incidents if one not in troubled]
        body = "".join(_destination(one, when, number) for number, one in enumerate(troubled)) + _well_ones(well)
        lead = _lead(incidents[0], when)
    else:
        body = ""
        lead = "<h1>Nothing was asked of any destination</h1>"
    return "".join(
        [
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
            f"<title>Incident report: {_text(service)}, {_text(when.day(span.begins))}</title>",
            f"<style>{STYLE.read_text(encoding='utf-8')}</style></head><body>{PATTERNS}",
            f'<header><p class="kind">Incident report</p>{lead}',
            f'<p class="when">{_text(service)} · {when.day(span.begins)}, {when.range(span)} · ',
            f"all times {_text(when.zone)}</p>",
            *(f'<p class="observing">{_text(line)}</p>' for line in observing),
            *(f'<p class="bypassing">{_past(name, count)}</p>' for name, count in (bypassing or {}).items()),
            f"</header><main>{body}{_method(incidents)}</main>",
            f"<footer>Told by sidecar {_text(version)} at {_text(when.full(told_at))}, ",
            "from the rows it kept of every second.</footer></body></html>\n",
        ]
    )


# The words


def _past(name: str, count: int) -> str:
    """A line about calls that no figure of this page has."""
    connections = "1 open connection goes" if count == 1 else f"{count} open connections of the service go"
    return f"{connections} straight to {_text(name)}, past the sidecar: their calls are in none of these figures."


def _lead(one: Incident, when: Clock) -> str:
    if not one.episodes:
        verdict = "was well" if one.requests >= ENOUGH else "had too few requests to judge"
        counted = f"{_count(one.requests)} request{'' if one.requests == 1 else 's'}"
        return (
            f"<h1>{_text(one.name)} {verdict}</h1>"
            f'<p class="lead">{counted}, {_share(one.bad, one.requests)} of them not served; '
            f"at most {one.worst_amplification:.2f} attempts per request.</p>"
        )
    worst = max(one.episodes, key=lambda episode: episode.bad)
    sentences = [_what_happened(worst, when), _what_we_did(one), _what_was_held(one, worst)]
    trouble = "was held back by the sidecar" if one.is_our_doing else "was in trouble"
    title = f"<h1>{_text(one.name)} {trouble} for {_duration(worst.callers.seconds)}</h1>"
    return title + f'<p class="lead">{" ".join(sentence for sentence in sentences if sentence)}</p>'


def _what_happened(worst: Episode, when: Clock) -> str:
    text = (
        f"Between {when.time(worst.callers.begins)} and {when.time(worst.callers.ends)} {_count(worst.bad)} of "
        f"{_count(worst.requests)} requests were not served ({_share(worst.bad, worst.requests)})."
    )
    if worst.recovery is None:
        return text
    well = "at once" if worst.recovery == 0 else f"{_duration(worst.recovery)} later"
    return f"{text} When it answered well again, callers were served {well}."


def _what_we_did(one: Incident) -> str:
    if one.is_our_doing:
        failed = _share(one.attempts * one.failed_share, one.attempts)
        return (
            f"The sidecar was the cause: its in-flight limit had no slot for {_count(one.limited)} requests or "
            f"retries, while {_text(one.name)} answered well what it was sent ({failed} failed). What to do: "
            "concurrency_limit in refusals.md."
        )
    return (
        f"Retries never took the load over {one.worst_amplification:.2f} attempts per request; the budget allowed "
        f"{one.bound_then:.2f}."
    )


def _what_was_held(one: Incident, worst: Episode) -> str:
    if not one.held_back:
        return ""
    return (
        f"While it was in trouble it met {_count(worst.attempts)} attempts; without budget, breaker and limit there "
        f"would have been {_count(worst.without)} or more, by the estimate below."
    )


def _destination(one: Incident, when: Clock, number: int) -> str:
    sections = [
        f'<section class="destination"><h2 id="d{number}">{_text(one.name)}</h2>',
        _figures(one),
        _load_plot(one, when),
        _amplification_plot(one, when),
        _served_plot(one, when),
        _latency_plot(one, when),
        _episodes(one, when),
        _refusals(one),
        "</section>",
    ]
    return "".join(sections)


def _well_ones(well: Sequence[Incident]) -> str:
    """The destinations without an incident: a line each."""
    if not well:
        return ""
    rows = "".join(
        f"<tr><th scope=row>{_text(one.name)}</th><td>{_count(one.requests)}</td>"
        f"<td>{_share(one.bad, one.requests)}</td><td>{one.worst_amplification:.2f}</td></tr>"
        for one in well
    )
    heads = ("destination", "requests", "not served", "attempts per request, at worst")
    return f"<section><h2>Well all the time</h2>{_table(heads, rows)}</section>"


def _figures(one: Incident) -> str:
    recoveries = [episode.recovery for episode in one.episodes if episode.recovery is not None]
    amplification = NONE if one.amplification is None else f"{one.amplification:.2f}"
    figures = [
        ("not served", _share(one.bad, one.requests), f"{_count(one.bad)} of {_count(one.requests)} requests"),
        (
            "attempts per request",
            amplification,
            f"at worst {one.worst_amplification:.2f} over 10 s, allowed {one.bound_then:.2f}",
        ),
        ("held back", _count(one.held_back), "attempts, by budget, breaker and limit"),
        ("without them", f"&ge; {_count(one.without)}", f"attempts (estimate), instead of {_count(one.attempts)}"),
        (
            "time to recover",
            _recovered(max(recoveries)) if recoveries else NONE,
            "after it answered well again" if recoveries else "none was needed",
        ),
    ]
    items = "".join(
        f"<div><dt>{name}</dt><dd><b>{value}</b><span>{note}</span></dd></div>" for name, value, note in figures
    )
    return f'<dl class="figures">{items}</dl>'


def _episodes(one: Incident, when: Clock) -> str:
    if not one.episodes:
        return ""
    shown = one.episodes[:SHOWN_EPISODES]
    rows = "".join(f"<tr>{_episode(episode, when)}</tr>" for episode in shown)
    more = len(one.episodes) - len(shown)
    rest = f'<p class="note">and {more} more</p>' if more > 0 else ""
    heads = ("callers not served", "dependency failing", "requests not served", "time to recover")
    return f"<h3>What happened</h3>{_table(heads, rows)}{rest}"


def _episode(episode: Episode, when: Clock) -> str:
    failing = "it never failed while asked" if episode.dependency is None else when.range(episode.dependency)
    served = f"{_count(episode.bad)} of {_count(episode.requests)} ({_share(episode.bad, episode.requests)})"
    recovered = NONE if episode.recovery is None else _recovered(episode.recovery)
    return f"<th scope=row>{when.range(episode.callers)}</th><td>{failing}</td><td>{served}</td><td>{recovered}</td>"


def _refusals(one: Incident) -> str:
    if not one.refusals:
        return ""
    rows = "".join(
        f"<tr><th scope=row>{_text(reason)}</th><td>{_count(count)}</td><td>{_whose(reason)}</td></tr>"
        for reason, count in one.refusals.items()
    )
    note = ""
    if one.times_opened or one.open_seconds:
        opened = "once" if one.times_opened == 1 else f"{one.times_opened} times"
        note = f'<p class="note">The breaker opened {opened} and was open for {_duration(one.open_seconds)} in all.</p>'
    return f"<h3>What was refused, and why</h3>{_table(('reason', 'how often', 'by what'), rows)}{note}"


def _whose(reason: str) -> str:
    return "budget, breaker or limit" if reason in OURS else "the limits of the request itself"


def _table(heads: Iterable[str], rows: str) -> str:
    head = "".join(f"<th scope=col>{words}</th>" for words in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _method(incidents: Sequence[Incident]) -> str:
    if not incidents:
        return ""
    most = max(one.max_attempts for one in incidents)
    return METHOD.format(most=f"up to {most}, as each destination has it" if len(incidents) > 1 else str(most))


METHOD: Final = """<section class="method"><h2>How this was counted, and what was estimated</h2>
<p>Requests, attempts, refusals and times are counted by the sidecar, second by second. A request was <em>not
served</em> if it ended with a 5xx or without an answer, was refused, or its caller gave up. A second is a bad one
if 5 % of its requests were not served; ten good seconds part two episodes. <em>Time to recover</em> is from the
last second in which 5 % of the attempts sent failed to the last bad second of the callers.</p>
<p><strong>&ldquo;Without them&rdquo; is computed, not counted.</strong> For each second, with <i>p</i> the share of
the attempts sent that failed and <i>m</i> the attempts that the policy allows ({most}):</p>
<p class="formula">attempts without = requests &times; (1 + <i>p</i> + <i>p</i>&sup2; + &hellip; +
<i>p</i><sup><i>m</i>&minus;1</sup>)</p>
<p>It assumes that every request would have been tried up to <i>m</i> times without budget, breaker or limit, and
that each attempt would have failed as those that were sent did; in a second in which none was sent, as in the last
one in which some were. It leaves out that more load makes more attempts fail and that callers above us retry too,
so the true figure is more likely higher than lower.</p></section>
"""


# The plots


def _load_plot(one: Incident, when: Clock) -> str:
    curves = one.curves
    top = ceiling(max([*curves.requests, *curves.attempts, *curves.without, 1.0]))
    peak_without, peak = max(curves.without), max(curves.attempts)
    drawn = plot(
        one,
        when,
        height=190,
        top=top,
        label=lambda value: f"{value:,.0f}/s",
        curves=[
            ("fill attempts", curves.attempts),
            ("fill retries", curves.retries),
            ("requests", curves.requests),
            ("without", curves.without),
        ],
        said=f"at most {peak:,.0f} attempts per second; without budget and breaker an estimated {peak_without:,.0f}",
        band=True,
    )
    keys = [
        ("attempts", "attempts sent"),
        ("retries", "of which retries"),
        ("requests", "requests of our callers"),
        ("without", "attempts without budget, breaker and limit (estimate)"),
        ("open", "breaker open"),
    ]
    return _figure("Load on the dependency", drawn, keys)


def _amplification_plot(one: Incident, when: Clock) -> str:
    curves = one.curves
    estimate = [
        None if not asked else without / asked for asked, without in zip(curves.requests, curves.without, strict=True)
    ]
    top = math.ceil(2 * max([*curves.amplification, *(value for value in estimate if value is not None)]) + 0.2) / 2
    bound = [min(value, top) if asked else None for value, asked in zip(curves.bound, curves.requests, strict=True)]
    drawn = plot(
        one,
        when,
        height=120,
        bottom=1.0,
        top=top,
        label=lambda value: f"{value:.1f}",
        curves=[("without", estimate), ("bound", bound), ("amplification", curves.amplification)],
        said=f"at worst {one.worst_amplification:.2f} over ten seconds, where the budget allowed {one.bound_then:.2f}",
    )
    keys = [("amplification", "over 10 s"), ("bound", "allowed by the budget"), ("without", "without it (estimate)")]
    return _figure("Attempts per request", drawn, keys)


def _served_plot(one: Incident, when: Clock) -> str:
    curves = one.curves
    not_served = [100 * bad / asked if asked else None for bad, asked in zip(curves.bad, curves.requests, strict=True)]
    failing = [
        100 * failed / sent if sent else None
        for failed, sent in zip(curves.failed_attempts, curves.attempts, strict=True)
    ]
    drawn = plot(
        one,
        when,
        height=110,
        top=100.0,
        label=lambda value: f"{value:.0f} %",
        curves=[("fill bad", not_served), ("failing", failing)],
        said=f"{_share(one.bad, one.requests)} of all requests were not served",
    )
    keys = [("bad", "requests not served"), ("failing", "attempts that the dependency failed")]
    return _figure("What callers met, and what the dependency did", drawn, keys)


def _latency_plot(one: Incident, when: Clock) -> str:
    curves = one.curves
    known = [value for value in curves.p99 if value is not None]
    if not known:
        return ""
    drawn = plot(
        one,
        when,
        height=100,
        top=ceiling(max(known)),
        label=_brief,
        curves=[("p99", curves.p99), ("p50", curves.p50)],
        said=f"at most {_brief(max(known))} at the 99th percentile",
    )
    return _figure("Latency for callers", drawn, [("p50", "median"), ("p99", "99th percentile")])


def _figure(title: str, drawn: str, keys: Iterable[tuple[str, str]]) -> str:
    legend = "".join(f'<span><i class="key {kind}"></i>{_text(words)}</span>' for kind, words in keys)
    return f"<figure><figcaption><b>{_text(title)}</b>{legend}</figcaption>{drawn}</figure>"


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _share(part: float, whole: float) -> str:
    if not whole:
        return "0 %"
    share = 100 * part / whole
    if 0 < share < 1 or 99 < share < 100:
        return f"{min(max(share, 0.1), 99.9):.1f} %"
    return f"{share:.0f} %"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def _recovered(seconds: float) -> str:
    return _duration(seconds) if seconds else "at once"


def _brief(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _text(text: str) -> str:
    return html.escape(text)
