// The live page: listens to /events, keeps fifteen minutes of rows, and draws what is on the screen once a second.
// All text that comes from outside is set as text, never as markup.

import { band, binned, ceiling, gauge, highest, mean, timeChart, tone, waterfall } from "/charts.js";

const KEPT = 900;
const LATE = 3500; // ms without a message: the sidecar is not there, or its loop stands still
const FEW = 6; // destinations up to which all are shown in full
const SHORT_LIST = 12; // exchanges shown before the button asks for all

const WHY = {
  committed: "part of the response had been passed on",
  not_replayable: "the body was too large to keep",
  not_idempotent: "repeating it is not known to be safe",
  attempts_exhausted: "max_attempts were made",
  retry_after_too_long: "it asked for a longer wait than allowed",
  deadline: "it could not have left in time",
  draining: "the sidecar is shutting down",
  breaker_open: "it fails fast and is being left alone",
  concurrency_limit: "all places in flight are taken",
  budget_exhausted: "retries have reached their share of the requests",
};
const STATE_WORDS = { closed: "closed", open: "open", half_open: "half-open", recovering: "recovering" };
const LEVEL_WORDS = { idle: "Quiet", calm: "Calm", unsettled: "Unsettled", limiting: "Held back by us", failing: "Failing", amplifying: "Amplifying" };

const $ = (id) => document.getElementById(id);

const store = { epoch: null, first: 0, times: [], series: new Map(), transitions: new Map() };
let now = null; // the last state that came
let heard = 0; // when, by our clock
let link = "connecting";
let asked = 300; // seconds that are to be shown
let askedByHand = false;
let span = 300; // seconds that are: fewer while there are no more
let policyShown = "";
let showAll = false;
const cards = new Map();
const exchanges = new Map();
const visible = new Set();

// ---- what comes in

function connect() {
  const source = new EventSource("/events");
  const on = (kind, take) => source.addEventListener(kind, (event) => take(JSON.parse(event.data)));
  on("hello", greet);
  on("rows", keep);
  on("now", (state) => {
    const first = !now;
    if (first && !askedByHand && store.times.length < 120) setSpan(60); // five minutes of which four are empty say less
    now = state;
    heard = Date.now();
    setLink("live");
    draw();
    if (first && location.hash.length > 1) $(location.hash.slice(1))?.scrollIntoView(); // an alert's link; it was all empty before
  });
  source.onerror = () => {
    setLink("lost");
    if (source.readyState === EventSource.CLOSED) { // refused: too many viewers, or something else is there
      source.close();
      setTimeout(connect, 5000);
    }
  };
}

function greet(hello) {
  if (hello.epoch !== store.epoch) {
    Object.assign(store, { epoch: hello.epoch, first: 0, times: [], series: new Map(), transitions: new Map() });
    exchanges.clear();
    policyShown = "";
  }
  $("service").textContent = hello.service;
  $("process").textContent = `sidecar ${hello.version}`;
  document.title = `${hello.service || "sidecar"} · Retry Sidecar`;
}

function keep(message) {
  if (store.times.length && message.first > store.first + store.times.length) { // more than we could be sent has passed
    Object.assign(store, { first: message.first, times: [], series: new Map() });
  }
  if (!store.times.length) store.first = message.first;
  const skipped = Math.max(0, store.first - message.first);
  const begin = message.first + skipped - store.first;
  for (let at = skipped; at < message.times.length; at += 1) store.times[begin + at - skipped] = message.times[at];
  for (const [name, columns] of Object.entries(message.series)) {
    if (!store.series.has(name)) store.series.set(name, {});
    const kept = store.series.get(name);
    for (const column of new Set([...Object.keys(kept), ...Object.keys(columns)])) {
      kept[column] ??= [];
      const values = columns[column] ?? message.times.map(() => 0);
      while (kept[column].length < begin) kept[column].push(null);
      for (let at = skipped; at < values.length; at += 1) kept[column][begin + at - skipped] = values[at];
    }
  }
  for (const [name, told] of Object.entries(message.transitions)) {
    const known = store.transitions.get(name) ?? [];
    for (const [at, state] of told) {
      const last = known.at(-1);
      if (!last || (at !== null && at > (last[0] ?? 0))) known.push([at, state]);
    }
    store.transitions.set(name, known.slice(-4096));
  }
  if (store.times.length > KEPT + 60) {
    const extra = store.times.length - KEPT;
    store.first += extra;
    store.times.splice(0, extra);
    for (const columns of store.series.values()) for (const values of Object.values(columns)) values.splice(0, extra);
  }
}

// ---- words for numbers

const whole = new Intl.NumberFormat("en");
const count = (value) => whole.format(Math.round(value));
const counted = (number, one, many) => `${count(number)} ${number === 1 ? one : many}`;
const times = (value) => `${value.toFixed(2)}×`;
const rate = (value) => (value >= 10 || value === 0 ? count(value) : value.toFixed(1));
const percent = (share) => {
  if (share > 0 && share < 0.01) return "< 1 %";
  return `${share > 0.99 && share < 1 ? (share * 100).toFixed(1) : Math.round(share * 100)} %`;
};

function seconds(value) {
  if (value == null) return "–";
  if (value < 0.0995) return `${(value * 1000).toFixed(value < 0.00995 ? 1 : 0)} ms`;
  if (value < 0.9995) return `${Math.round(value * 1000)} ms`;
  return value < 60 ? `${value.toFixed(value < 10 ? 2 : 1)} s` : `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
}

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "long" });
const timeOf = (at) => clock.format(new Date(at * 1000));

function remaining(until) {
  const left = (until - Date.now()) / 1000;
  if (!(left > 0)) return "over";
  if (left < 3600) return `${Math.floor(left / 60)} min ${Math.floor(left % 60)} s`;
  if (left < 172800) return `${Math.floor(left / 3600)} h ${Math.floor((left % 3600) / 60)} min`;
  return `${Math.floor(left / 86400)} days`;
}

// ---- elements

function make(tag, className = "", ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function mark(level, className = "mark") {
  const icon = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  icon.setAttribute("class", className);
  icon.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#level-${level}`);
  icon.append(use);
  return icon;
}

// ---- the first screen

function drawVerdict() {
  const { level, words, detail, towards } = now.headline;
  document.body.dataset.level = level;
  $("mark").setAttribute("href", `#level-${level}`);
  say($("words"), words);
  $("words").classList.toggle("long", words.length > 70);
  say($("detail"), detail);
  const gist = `${level} ${towards.join()} ${link}`;
  const spoken = $("spoken");
  if (spoken.dataset.gist !== gist) { // a screen reader is told of news, not of every digit
    spoken.dataset.gist = gist;
    say(spoken, link === "live" ? `${words}. ${detail}` : "Disconnected from the sidecar.");
  }
  const notices = now.ready.map((reason) => `Not ready: ${reason}`);
  if (link === "lost") notices.unshift(`What is below is as it was at ${timeOf(now.at)}.`);
  if (now.policy.error) notices.push(`The last policy was refused; version ${now.policy.version} stays in force. ${now.policy.error}`);
  notices.push(...Object.values(now.observing ?? {}));
  if (now.left_out.length) notices.push(`No history is kept for ${now.left_out.length} destinations beyond the first hundred.`);
  document.body.dataset.noticed = String(notices.length > 0);
  $("notice").hidden = notices.length === 0;
  say($("notice"), notices.join("\n"));
  const bypassing = Object.entries(now.bypassing);
  $("bypassing").hidden = bypassing.length === 0;
  say($("bypassing"), `Past the sidecar: ${bypassing.map(([name, some]) => `${name} (${count(some)} connections)`).join(", ")}.`);
  const undeclared = Object.values(now.undeclared).reduce((sum, some) => sum + some, 0);
  $("undeclared").hidden = undeclared === 0;
  say($("undeclared"), `${count(undeclared)} writes on routes that no description declares, since the start.`);
}

function drawAnswers() {
  const busy = now.destinations.filter((one) => one.lately.requests || one.concurrency.in_flight);
  const worst = [...busy].sort((a, b) => b.lately.amplification - a.lately.amplification || b.lately.bad - a.lately.bad || b.lately.requests - a.lately.requests)[0];
  const value = worst ? worst.lately.amplification : 1;
  const bound = worst ? worst.lately.bound : 1;
  const enough = worst && !worst.lately.few;
  say($("amplification"), worst && !enough && value > 1.005 ? "?" : times(value));
  say($("amplification-words"), value <= 1.005 ? "No" : !enough ? "Too few requests to judge" : value > bound + 0.005 && enough ? "Yes, beyond its bound" : value > 1.2 && enough ? "Yes, as far as its bound allows" : "Held within its bound");
  $("gauge").replaceChildren(gauge({ value, bound: Math.max(bound, 1.02), top: Math.max(2, ceiling(value * 1.02), ceiling(bound * 1.05)) }));
  say($("amplification-note"), worst
    ? `${enough || value <= 1.005 ? "" : `${count(worst.lately.requests)} requests, ${times(value)} `}attempts per request ${now.destinations.length > 1 ? `to ${worst.name}, ` : ""}in the last 10 s; the budget allows ${times(bound)}`
    : "attempts per request; no requests in the last 10 s");

  const extra = busy.map((one) => [one.name, one.lately.retry ?? 0, `${one.lately.amplification.toFixed(2)} attempts per request`]).filter(([, retries]) => retries > 0);
  drawBars($("towards"), extra, "No retries in the last 10 s.", (retries) => `${count(retries)} ${retries === 1 ? "retry" : "retries"}`);

  const reasons = new Map();
  for (const one of now.destinations) {
    for (const [reason, number] of Object.entries(one.lately.refusals)) reasons.set(reason, (reasons.get(reason) ?? 0) + number);
  }
  const listed = [...reasons].map(([reason, number]) => [reason, number, WHY[reason] ?? ""]);
  drawBars($("reasons"), listed, "All was sent in the last 10 s.", count, refusalLink);
  const unsent = now.destinations.reduce((sum, one) => sum + (one.lately.refused ?? 0), 0);
  const held = [...reasons.values()].reduce((sum, number) => sum + number, 0);
  $("reasons-note").hidden = listed.length === 0;
  say($("reasons-note"), `In the last 10 s: ${counted(unsent, "request", "requests")} and ${counted(Math.max(0, held - unsent), "retry", "retries")}.`);
}

// What stands there already stays, if it is the same names in the same order: a link is not taken from under the pointer.
function drawBars(list, entries, none, told, named = (name) => name) {
  const sorted = entries.sort((a, b) => b[1] - a[1]).slice(0, 4);
  const names = sorted.map(([name]) => name).join(" ");
  if (sorted.length === 0) {
    list.dataset.names = names;
    list.replaceChildren(make("li", "none", none));
    return;
  }
  if (list.dataset.names !== names) {
    list.dataset.names = names;
    list.replaceChildren(...sorted.map(([name]) =>
      make("li", "", make("span", "name", named(name)), make("b"), make("span", "why"), make("i", "share"))));
  }
  const most = sorted[0][1];
  sorted.forEach(([, number, why], at) => {
    const [, amount, reason, bar] = list.children[at].children;
    say(amount, told(number));
    say(reason, why);
    reason.hidden = !why;
    bar.style.width = `${Math.max(2, (number / most) * 100)}%`;
  });
}

// A word of refusal, which leads to what it means and what to do.
function refusalLink(word) {
  const link = make("a", "word", word);
  link.href = `/refusals/${encodeURIComponent(word)}`;
  return link;
}

// ---- destinations

const CHARTS = [
  { key: "load", title: "Requests and attempts per second" },
  { key: "amplification", title: "Attempts per request" },
  { key: "balance", title: "Retry budget, retries left" },
  { key: "latency", title: "Latency, p50 and p99" },
];

class Card {
  constructor(name) {
    this.name = name;
    this.opened = false;
    this.at = null; // the place, between 0 and 1, that is pointed at
    const id = `d${cards.size}-${Math.random().toString(36).slice(2, 8)}`;
    this.root = make("article", "card");
    this.root.setAttribute("aria-labelledby", id);
    this.title = make("h3", "", name);
    this.title.id = id;
    this.badge = make("p", "badge");
    this.endpoints = make("p", "endpoints");
    this.toggle = make("button", "toggle", "Show charts");
    this.toggle.type = "button";
    this.toggle.addEventListener("click", () => { this.opened = !this.opened; this.draw(); });
    this.facts = make("dl", "facts");
    this.values = {};
    for (const [key, label] of [["rate", "requests"], ["amp", "attempts per request"], ["bad", "not served"], ["latency", "p50 / p99"], ["flight", "in flight"], ["balance", "retries left"]]) {
      this.values[key] = make("dd");
      this.facts.append(make("div", "", make("dt", "", label), this.values[key]));
    }
    this.plots = {};
    const charts = make("div", "charts");
    for (const { key, title } of CHARTS) {
      const plot = make("figure", `plot ${key}`);
      const caption = make("figcaption", "", make("span", "", title), make("b"));
      const canvas = make("div", "canvas");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", title);
      const scale = make("span", "scale");
      scale.setAttribute("aria-hidden", "true");
      plot.append(caption, make("div", "drawn", canvas, scale));
      if (key === "load") {
        const strip = make("div", "strip");
        strip.setAttribute("role", "img");
        strip.setAttribute("aria-label", "Breaker");
        const axis = make("p", "axis", make("span"), make("span", "pointed"), make("span", "", "now"));
        axis.setAttribute("aria-hidden", "true");
        plot.append(strip, axis);
        this.strip = strip;
        this.axis = axis;
      }
      charts.append(plot);
      this.plots[key] = { canvas, value: caption.lastChild, scale };
    }
    charts.addEventListener("pointermove", (event) => {
      const canvas = event.target.closest(".canvas, .strip");
      if (!canvas) return;
      const box = canvas.getBoundingClientRect();
      this.at = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
      this.drawCharts();
    });
    charts.addEventListener("pointerleave", () => { this.at = null; this.drawCharts(); });
    this.refusals = make("p", "refusals");
    this.totals = make("p", "totals");
    this.root.append(
      make("header", "", this.title, this.badge, this.toggle, this.endpoints), this.facts, charts,
      make("footer", "", this.refusals, this.totals),
    );
    this.toggle.hidden = true;
    this.charts = charts;
    watcher.observe(this.root);
  }

  update(one, full) {
    this.one = one;
    this.full = full;
    this.draw();
  }

  draw() {
    const { one } = this;
    if (!one) return;
    const { lately } = one;
    this.root.dataset.level = one.level;
    const folded = !this.full && !this.opened;
    this.root.classList.toggle("folded", folded);
    this.toggle.hidden = this.full;
    this.toggle.setAttribute("aria-expanded", String(!folded));
    say(this.toggle, folded ? "Show charts" : "Hide charts");
    const breaker = one.breaker.state;
    const words = `${LEVEL_WORDS[one.level]}${breaker === "closed" ? "" : ` · breaker ${STATE_WORDS[breaker]}`}`;
    if (this.badge.dataset.words !== words) {
      this.badge.dataset.words = words;
      this.badge.replaceChildren(mark(one.level), words);
    }
    say(this.endpoints, one.endpoints.join(", "));
    const { values } = this;
    say(values.rate, lately.requests ? `${rate(lately.requests / lately.seconds)}/s` : "none");
    say(values.amp, times(lately.amplification));
    say(values.bad, lately.requests ? percent(lately.bad / lately.requests) : "–");
    values.bad.className = lately.bad ? "bad" : "";
    const row = store.series.get(this.name);
    const last = (column) => row?.[column]?.at(-1);
    say(values.latency, last("p50") == null ? "–" : `${seconds(last("p50"))} / ${seconds(last("p99"))}`);
    const { state, in_flight: flight, limit, waiting } = one.concurrency;
    say(values.flight, `${flight}${state === "open" && !waiting ? "" : ` of ${Math.floor(limit)}`}${waiting ? `, ${waiting} wait` : ""}${state === "open" ? "" : ` · ${state}`}`);
    say(values.balance, one.budget.balance.toFixed(1));
    say(this.totals, `Since the start: ${count(one.requests)} requests, ${count(one.attempts)} attempts`);
    this.drawRefusals();
    this.drawCharts();
  }

  drawRefusals() {
    const row = store.series.get(this.name) ?? {};
    const from = firstIndex();
    const told = [];
    for (const [column, numbers] of Object.entries(row)) {
      if (!column.startsWith("refusal.")) continue;
      let sum = 0;
      for (let at = from; at < numbers.length; at += 1) sum += numbers[at] ?? 0;
      if (sum) told.push([column.slice(8), sum]);
    }
    told.sort((a, b) => b[1] - a[1]);
    const text = [spanWords(), ...told.map(([reason]) => reason)].join(", ");
    if (this.refusals.dataset.text !== text) {
      this.refusals.dataset.text = text;
      this.refusals.replaceChildren(make("span", "", `Refused in the last ${spanWords()}: `));
      if (!told.length) this.refusals.append("none");
      told.forEach(([reason]) => this.refusals.append(make("span", "reason", refusalLink(reason), " ", make("b"))));
    }
    told.forEach(([, sum], at) => say(this.refusals.children[at + 1].lastChild, count(sum)));
  }

  drawCharts() {
    if (!visible.has(this.root)) return;
    const row = store.series.get(this.name);
    const end = now.at;
    const width = this.plots.load.canvas.clientWidth;
    if (!width) return;
    const size = Math.max(1, Math.ceil(span / (width / 2)));
    const bins = row ? binned(store.times, end - span, size, store.first) : [];
    const xs = bins.map(([, to]) => Math.min(1, 1 - (end - store.times[to - 1]) / span));
    const pointed = this.at === null || !bins.length ? null : nearest(xs, this.at);
    const pick = (values) => (pointed === null ? values.at(-1) : values[pointed]);
    const column = (name, take) => bins.map((bin) => take(row[name] ?? [], bin));
    const when = pointed === null ? "" : timeOf(store.times[bins[pointed][1] - 1]);

    const first = column("first", mean).map((value, at) => value + mean(row.reconnect ?? [], bins[at]));
    const retries = column("retry", mean);
    const attempts = first.map((value, at) => value + retries[at]);
    const requests = column("requests", mean);
    this.plot("load", {
      top: ceiling(Math.max(...attempts, ...requests, 0.1)),
      xs,
      layers: [
        { kind: "area", values: first, className: "fill first" },
        { kind: "area", values: attempts, over: first, className: "fill retry" },
        { kind: "area", values: requests.map((value, at) => Math.max(value, attempts[at])), over: attempts, className: "fill held" },
        { kind: "line", values: requests, className: "stroke requests" },
      ],
      label: (top) => `${rate(top)}/s`,
      said: bins.length ? `${rate(pick(requests))} + ${rate(pick(retries))} retries` : "",
      text: () => `now ${rate(requests.at(-1))} requests and ${rate(attempts.at(-1))} attempts per second, of which ${rate(retries.at(-1))} are retries; at most ${rate(Math.max(...attempts))} attempts`,
      pointed,
    });
    const amplification = column("amplification", highest);
    const bound = column("bound", highest);
    const sensible = bound.map((value, at) => (mean(row.requests ?? [], bins[at]) || amplification[at] > 1 ? value ?? 1 : null));
    this.plot("amplification", {
      bottom: 1,
      top: above([...amplification, ...sensible, 1.15]),
      xs,
      layers: [
        { kind: "area", values: amplification, className: "fill amp" },
        { kind: "line", values: sensible, className: "stroke bound" },
        { kind: "line", values: amplification, className: "stroke amp" },
      ],
      label: (top) => times(top),
      said: bins.length ? `${times(pick(amplification) ?? 1)} of ${times(pick(bound) ?? 1)}` : "",
      text: () => `now ${times(amplification.at(-1) ?? 1)}, highest ${times(Math.max(...amplification, 1))}, the budget allows ${times(bound.at(-1) ?? 1)}`,
      pointed,
    });
    const balance = column("balance", (values, [from, to]) => Math.min(...values.slice(from, to).map((value) => value ?? 0)));
    this.plot("balance", {
      top: ceiling(Math.max(...balance, 1)),
      xs,
      layers: [{ kind: "area", values: balance, className: "fill balance" }, { kind: "line", values: balance, className: "stroke balance" }],
      label: (top) => count(top),
      said: bins.length ? pick(balance).toFixed(1) : "",
      text: () => `now ${balance.at(-1).toFixed(1)}, least ${Math.min(...balance).toFixed(1)}`,
      pointed,
    });
    const p50 = column("p50", highest);
    const p99 = column("p99", highest);
    this.plot("latency", {
      top: ceiling(Math.max(...p99.map((value) => value ?? 0), 0.001)),
      xs,
      layers: [{ kind: "line", values: p99, className: "stroke p99" }, { kind: "line", values: p50, className: "stroke p50" }],
      label: (top) => seconds(top),
      said: bins.length && pick(p50) != null ? `${seconds(pick(p50))} / ${seconds(pick(p99))}` : "–",
      text: () => `now ${seconds(p50.at(-1))} at the median and ${seconds(p99.at(-1))} at the 99th percentile`,
      pointed,
    });
    this.drawStrip(end, width);
    say(this.axis.firstChild, `${spanWords()} ago`);
    say(this.axis.children[1], when);
  }

  plot(key, { top, bottom = 0, xs, layers, label, said, text, pointed }) {
    const { canvas, value, scale } = this.plots[key];
    const width = canvas.clientWidth;
    if (!width) return;
    const chart = timeChart({ width, height: canvas.clientHeight, xs, layers, top, bottom, ticks: [bottom, bottom + (top - bottom) / 2, top] });
    if (pointed !== null) {
      const x = xs[pointed] * (width - 1);
      const hair = document.createElementNS("http://www.w3.org/2000/svg", "line");
      for (const [name, number] of Object.entries({ class: "hair", x1: x, x2: x, y1: 0, y2: canvas.clientHeight })) hair.setAttribute(name, number);
      chart.append(hair);
    }
    canvas.replaceChildren(chart);
    say(scale, label(top));
    say(value, said);
    const title = CHARTS.find((one) => one.key === key).title;
    canvas.setAttribute("aria-label", xs.length ? `${title}, last ${spanWords()}: ${text()}` : `${title}: no traffic yet`);
  }

  drawStrip(end, width) {
    const told = store.transitions.get(this.name) ?? [];
    const begin = end - span;
    const blocks = [];
    let opened = 0;
    told.forEach(([at, state], number) => {
      const from = Math.max(at ?? begin, begin, store.times[0] ?? end);
      const to = Math.min(told[number + 1]?.[0] ?? end, end);
      if (to <= begin || to < from) return;
      if (state === "open" && (at ?? 0) >= begin) opened += 1;
      blocks.push([(from - begin) / span, (to - begin) / span, state]);
    });
    this.strip.replaceChildren(band({ width, height: 14, blocks }));
    const state = STATE_WORDS[told.at(-1)?.[1] ?? "closed"];
    this.strip.setAttribute("aria-label", `Breaker, last ${spanWords()}: now ${state}, opened ${opened === 1 ? "once" : `${opened} times`}`);
  }
}

// The end of a scale that shows all of these, the bound's line among them.
function above(values) {
  const most = Math.max(...values.map((value) => value ?? 0));
  return [1.2, 1.5, 2, 3, 5].find((end) => end >= most * 1.02) ?? ceiling(most * 1.02);
}

const nearest = (xs, at) => xs.reduce((best, x, number) => (Math.abs(x - at) < Math.abs(xs[best] - at) ? number : best), 0);

function firstIndex() {
  let at = store.times.length;
  while (at > 0 && store.times[at - 1] > now.at - span) at -= 1;
  return at;
}

const spanWords = () => (span % 60 === 0 ? `${span / 60} min` : `${span} s`);

const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (entry.isIntersecting) visible.add(entry.target); else visible.delete(entry.target);
    if (entry.isIntersecting && now) [...cards.values()].find((card) => card.root === entry.target)?.draw();
  }
}, { rootMargin: "200px" });

const RANK = ["amplifying", "failing", "limiting", "unsettled", "calm", "idle"];

function drawCards() {
  const few = now.destinations.length <= FEW;
  const names = new Set(now.destinations.map((one) => one.name));
  for (const [name, card] of cards) {
    if (names.has(name)) continue;
    watcher.unobserve(card.root);
    card.root.remove();
    cards.delete(name);
  }
  $("no-destinations").hidden = names.size > 0;
  $("cards").classList.toggle("many", !few);
  const troubled = (one) => RANK.indexOf(one.level) <= RANK.indexOf("unsettled");
  for (const one of now.destinations) {
    if (!cards.has(one.name)) {
      cards.set(one.name, new Card(one.name));
      $("cards").append(cards.get(one.name).root);
    }
    cards.get(one.name).update(one, few || troubled(one));
  }
  // The worst first; a card that has the focus or the pointer inside stays where it is.
  if ($("cards").matches(":hover, :focus-within")) return;
  const sorted = [...now.destinations].sort((a, b) => RANK.indexOf(a.level) - RANK.indexOf(b.level));
  sorted.forEach((one, place) => {
    const { root } = cards.get(one.name);
    if ($("cards").children[place] !== root) $("cards").insertBefore(root, $("cards").children[place] ?? null);
  });
}

// ---- idempotency keys

const keysSeen = []; // [instant, requests in all], for the rate of the last ten seconds

function drawKeys() {
  const keys = now.keys;
  $("keys").hidden = !keys;
  if (!keys) return;
  const { store: kept, routes, unknown } = keys;
  const sum = (column) => routes.reduce((total, one) => total + one[column], 0);
  const requests = sum("requests");
  if (!keysSeen.length || now.at > keysSeen.at(-1)[0]) keysSeen.push([now.at, requests]);
  if (requests < keysSeen[0][1]) keysSeen.splice(0, keysSeen.length - 1); // it was started again
  while (keysSeen.length > 2 && keysSeen[1][0] < now.at - 10) keysSeen.shift();
  const [since, before] = keysSeen[0];
  $("keys").dataset.troubled = String(unknown > 0 || kept.failing);
  say($("keys-unknown"), unknown ? `${count(unknown)} to be found out` : "none");
  $("keys-unknown").className = unknown ? "bad" : "";
  say($("keys-rate"), now.at - since >= 1 ? `${rate((requests - before) / (now.at - since))}/s` : "–");
  const runs = sum("new") + sum("replayed");
  say($("keys-hits"), runs ? `${count(sum("replayed"))}, ${percent(sum("replayed") / runs)}` : "none");
  say($("keys-store"), kept.failing ? "does not answer" : "well");
  $("keys-store").className = kept.failing ? "bad" : "";
  say($("keys-latency"), kept.p50 == null ? "–" : `${seconds(kept.p50)} / ${seconds(kept.p99)}`);
  say($("keys-failures"), kept.failures ? count(kept.failures) : "none");
  drawKeyRoutes(routes);
}

// Rows stay while the routes are the same, and cells while their words are: a link is not taken from under the pointer.
function drawKeyRoutes(routes) {
  const place = $("keys-routes");
  const names = JSON.stringify(routes.map((one) => one.name));
  if (place.dataset.names !== names) {
    place.dataset.names = names;
    const rows = routes.map((one) => {
      const th = make("th", "", one.name);
      th.scope = "row";
      return make("tr", "", th, ...["value", "", "", "", "words", "words"].map((className) => make("td", className)));
    });
    place.replaceChildren(table("Routes with a contract", ["Route", "Requests", "Run", "Running now", "Given again", "Refused", "Service asked"], rows));
  }
  const rows = place.querySelectorAll("tbody tr");
  routes.forEach((one, at) => {
    const [all, run, running, replayed, refused, asked] = rows[at].querySelectorAll("td");
    const runs = one.new + one.replayed;
    say(all, count(one.requests));
    say(run, count(one.new));
    say(running, count(one.running));
    say(replayed, runs ? `${count(one.replayed)}, ${percent(one.replayed / runs)}` : "–");
    drawWords(refused, { ...one.refused, ...one.passed }, "none", (word) => (word in one.refused ? refusalLink(word) : word));
    drawWords(asked, one.probes ?? {}, one.probes ? "not yet" : "has no probe", (word) => word);
  });
}

function drawWords(cell, counts, none, named) {
  const words = Object.keys(counts);
  const key = words.join();
  if (cell.dataset.key !== key) {
    cell.dataset.key = key;
    cell.replaceChildren(...words.map((word) => make("span", "reason", named(word), " ", make("b"))));
    if (!words.length) cell.append(make("span", "note", none));
  }
  words.forEach((word, at) => say(cell.children[at].lastChild, count(counts[word])));
}

// ---- exchanges

function drawExchanges() {
  for (const one of now.exchanges) exchanges.set(one.number, one);
  const latest = [...exchanges.values()].sort((a, b) => b.number - a.number).slice(0, 50);
  exchanges.clear();
  for (const one of latest) exchanges.set(one.number, one);
  const shown = showAll ? latest : latest.slice(0, SHORT_LIST);
  $("no-exchanges").hidden = latest.length > 0;
  document.querySelector(".exchanges").hidden = latest.length === 0;
  $("more").hidden = latest.length <= SHORT_LIST;
  say($("more"), showAll ? "Show fewer" : `Show all ${latest.length}`);
  const body = $("exchanges");
  const total = ceiling(Math.max(0.001, ...shown.map((one) => extent(one)))); // one scale for all, or the bars could not be compared
  say($("exchanges-scale"), `Attempts, 0 to ${seconds(total)}`);
  const keyOf = (one) => `${one.number}.${one.alike}.${total}`;
  const key = shown.map(keyOf).join();
  if (body.dataset.key === key) return;
  body.dataset.key = key;
  const kept = new Map([...body.children].map((row) => [row.dataset.key, row]));
  body.replaceChildren(...shown.map((one) => kept.get(keyOf(one)) ?? exchangeRow(one, keyOf(one), total)));
}

const extent = (one) => Math.max(one.seconds, ...one.attempts.map((attempt) => attempt.began + attempt.seconds));

function cell(className, ...children) {
  const element = make("div", className, ...children);
  element.setAttribute("role", "cell");
  return element;
}

function exchangeRow(one, key, total) {
  const row = make("div", "row");
  row.setAttribute("role", "row");
  row.dataset.key = key;
  const request = cell("request", make("b", "", one.destination), " ", make("span", "target", `${one.method} ${one.target}`));
  if (one.alike) request.append(make("span", "alike", `and ${count(one.alike)} like it in that second`));
  const falls = make("div", "falls", waterfall({ attempts: one.attempts, seconds: one.seconds, refused: one.refusal !== null, total }));
  falls.setAttribute("role", "img");
  falls.setAttribute("aria-label", fallsWords(one));
  const places = [...new Set(one.attempts.map((attempt) => attempt.endpoint))];
  const result = cell("result");
  const status = one.status || one.outcome;
  result.append(make("b", `status ${tone(String(status))}`, String(status)));
  if (one.answered_by === "sidecar") result.append(make("span", "own", "by the sidecar"));
  if (one.answered_by === "upstream") result.append(make("span", "theirs", `from ${one.destination}`));
  if (one.refusal) result.append(make("span", "refusal", refusalLink(one.refusal)));
  row.append(
    cell("time", timeOf(one.at)),
    request,
    cell("fall", falls, make("span", "places", [waitedWords(one), one.attempts.length ? places.join(", ") : "never sent"].filter(Boolean).join("; "))),
    cell("took", one.attempts.length || one.waited >= 0.005 ? seconds(one.seconds) : "–"),
    result,
  );
  return row;
}

// For a slot, or for the breaker's probe.
const waitedWords = (one) => (one.waited >= 0.005 ? `waited ${seconds(one.waited)}` : "");

function fallsWords(one) {
  if (!one.attempts.length) return [waitedWords(one), "never sent"].filter(Boolean).join(", ");
  const told = one.attempts.map((attempt, number) => {
    const before = one.attempts[number - 1];
    const beside = number > 0 && before.late && before.began + before.seconds > attempt.began;
    const pause = beside ? "beside it " : number ? `after ${seconds(Math.max(0, attempt.began - before.began - before.seconds))}, ` : "";
    return `${pause}attempt ${attempt.n} to ${attempt.endpoint}: ${attempt.outcome} in ${seconds(attempt.seconds)}`;
  });
  const answered = one.answered_by === "sidecar" ? `; answered ${one.status} by the sidecar` : "";
  if (waitedWords(one)) told.unshift(waitedWords(one));
  return told.join("; ") + answered + (one.refusal ? `; then refused: ${one.refusal}` : "");
}

// ---- policy and exceptions

async function loadPolicy() {
  const { version, digest, loaded_at: loaded } = now.policy;
  const wanted = `${version} ${digest} ${loaded} ${Math.floor(Date.now() / 60000)}`;
  if (wanted === policyShown) return;
  policyShown = wanted;
  let policy;
  try {
    policy = await (await fetch("/policy")).json();
  } catch {
    policyShown = "";
    return;
  }
  say($("policy-words"), [
    `version ${policy.version}`, `owned by ${policy.owner}`,
    policy.authority === "managed" ? "named by the platform's authority" : "unmanaged: the service's own file names it", `digest ${String(policy.digest ?? "").slice(0, 12)}`,
    `loaded ${day.format(new Date(loaded * 1000))}`,
  ].join(" · "));
  const told = JSON.stringify([policy.destinations, policy.unlisted]);
  if ($("policy").dataset.told !== told) { // redrawing would take the keyboard's focus away
    $("policy").dataset.told = told;
    drawProvenance(policy);
  }
  drawExceptions(policy.exceptions ?? []);
}

function table(caption, heads, rows) {
  const element = make("table");
  element.append(make("caption", "unseen", caption));
  element.append(make("thead", "", make("tr", "", ...heads.map((head) => {
    const th = make("th", "", head);
    th.scope = "col";
    return th;
  }))));
  element.append(make("tbody", "", ...rows));
  const scroller = make("div", "scroll", element);
  scroller.tabIndex = 0; // on a phone it is wider than the screen, and a keyboard must reach its end too
  scroller.setAttribute("role", "region");
  scroller.setAttribute("aria-label", caption);
  return scroller;
}

function drawProvenance(policy) {
  const opened = new Set([...$("policy").querySelectorAll("details[open]")].map((one) => one.dataset.name));
  const names = Object.keys(policy.destinations ?? {});
  const entries = [...names.map((name) => [name, policy.destinations[name]])];
  if (policy.unlisted) entries.push(["unlisted", policy.unlisted]);
  $("policy").replaceChildren(...entries.map(([name, settings]) => {
    const own = Object.values(settings).filter((origin) => origin.source !== "baseline").length;
    const details = make("details");
    details.dataset.name = name;
    details.append(make("summary", "", make("b", "", name), " ", make("span", "note", own ? `${own} of ${Object.keys(settings).length} numbers are written in a document` : "all numbers are the built-in ones")));
    const fill = () => {
      if (details.children.length > 1) return;
      const rows = Object.entries(settings).map(([setting, origin]) => {
        const th = make("th", "", setting);
        th.scope = "row";
        const row = make("tr", origin.source === "baseline" ? "baseline" : "", th, make("td", "value", origin.value), make("td", "", origin.source), make("td", "place", origin.place));
        return row;
      });
      details.append(table(`Where the numbers for ${name} come from`, ["Setting", "Value", "From", "Written at"], rows));
    };
    details.addEventListener("toggle", () => details.open && fill());
    if (opened.has(name) || (entries.length === 1)) { details.open = opened.size > 0 && opened.has(name); if (details.open) fill(); }
    return details;
  }));
}

function drawExceptions(list) {
  $("no-exceptions").hidden = list.length > 0;
  if (!list.length) { $("exceptions").replaceChildren(); return; }
  const rows = list.map((one) => {
    const th = make("th", "", String(one.id), make("span", "ticket", String(one.ticket ?? "")));
    th.scope = "row";
    const left = make("td", "left");
    left.dataset.state = one.state;
    left.dataset.ends = Date.parse(one.state === "pending" ? one.begins : one.expires);
    const where = one.destination ?? "";
    const setting = make("td", "", make("b", "", `${one.setting} = ${one.value}`));
    if (one.place) setting.append(make("span", "place", one.place));
    return make("tr", "", th, make("td", "", where), setting,
      make("td", "", String(one.reason ?? "")), make("td", "", one.owner ?? "", make("span", "ticket", `approved by ${[one.approved_by ?? []].flat().join(", ") || "no one"}`)),
      make("td", "", count(one.uses ?? 0)), left);
  });
  $("exceptions").replaceChildren(table("Exceptions in force", ["Exception", "For", "Setting", "Reason", "Owner", "Uses", "Ends in"], rows));
  drawCountdowns();
}

function drawCountdowns() {
  for (const element of document.querySelectorAll("[data-ends]")) {
    const words = remaining(Number(element.dataset.ends));
    say(element, element.dataset.state === "pending" ? `begins in ${words}` : words);
  }
}

// ---- all of it

function setLink(state) {
  link = state;
  document.body.dataset.link = state;
  const ago = heard ? Math.round((Date.now() - heard) / 1000) : null;
  say($("link"), state === "live" ? "Live" : state === "connecting" ? "Connecting" : `Disconnected${ago === null ? "" : `, last heard ${ago} s ago`}; trying again`);
  if (!now) return;
  if (state === "lost") drawVerdict();
}

function draw() {
  if (!now) return;
  span = Math.min(asked, Math.max(30, Math.ceil(now.at - (store.times[0] ?? now.at)) + 1));
  drawVerdict();
  drawAnswers();
  drawCards();
  drawKeys();
  drawExchanges();
  drawCountdowns();
  loadPolicy();
}

function setSpan(seconds) {
  asked = seconds;
  document.querySelector(`[name="span"][value="${seconds}"]`).checked = true;
}

$("span").addEventListener("change", (event) => {
  askedByHand = true;
  setSpan(Number(event.target.value));
  draw();
});
$("more").addEventListener("click", () => {
  showAll = !showAll;
  if (now) drawExchanges();
});
addEventListener("resize", () => { if (now) drawCards(); });
setInterval(() => {
  if (link === "lost" || (heard && Date.now() - heard > LATE)) setLink("lost");
  drawCountdowns();
}, 1000);

connect();
