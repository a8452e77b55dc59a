// A partner's client in Node that passes `sidecar vectors run -- node docs/examples/partner.mjs`.
//
// It is one file without dependencies, to be read: full jitter, a retry budget, a breaker, Retry-After, one
// Idempotency-Key per call, nothing repeated that may have been executed and was not declared safe.

import { randomUUID } from "node:crypto";
import { createInterface } from "node:readline";

const IDEMPOTENT = new Set(["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "QUERY"]);
const RETRYABLE = new Set([429, 503]);
const MIN_REMAINING = 0.05; // seconds that a retry needs at least

const now = () => performance.now() / 1000;
const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
const seconds = (text, otherwise) => {
  const [, number, unit] = /^([\d.]+)(ms|s|m|h)$/.exec(text ?? otherwise);
  return Number(number) * { ms: 0.001, s: 1, m: 60, h: 3600 }[unit];
};

/** What all calls to one destination share. */
class Destination {
  constructor(policy) {
    this.timeout = seconds(policy.timeout, "10s");
    this.maxAttempts = policy.retry?.max_attempts ?? 3;
    this.base = seconds(policy.retry?.backoff?.base, "25ms");
    this.max = seconds(policy.retry?.backoff?.max, "1s");
    this.maxWish = seconds(policy.retry?.retry_after?.max, "10s");
    this.honours = policy.idempotency_key?.honours ?? false;
    this.ratio = policy.budget?.ratio ?? 0.1;
    this.burst = policy.budget?.burst ?? 2;
    this.minRetries = policy.budget?.min_retries ?? 3;
    this.window = seconds(policy.budget?.window, "10s");
    this.trip = policy.breaker?.consecutive_failures ?? 10;
    this.open = seconds(policy.breaker?.open, "250ms");
    this.requests = [];
    this.retries = [];
    this.failures = 0;
    this.openUntil = 0;
  }

  /** Pay for one retry; false if the budget is short. Both sides are counts in the same window. */
  withdraw() {
    const since = now() - this.window;
    this.requests = this.requests.filter((at) => at > since);
    this.retries = this.retries.filter((at) => at > since);
    const earned = this.ratio * this.requests.length;
    const lately = this.retries.filter((at) => at > now() - this.window / 10).length;
    if (this.retries.length + 1 > earned + this.minRetries) return false;
    if (lately + 1 > (this.burst * earned) / 10 + 1) return false;
    this.retries.push(now());
    return true;
  }

  /** Count an attempt for the breaker: failures that come back quickly, in a row. */
  count(failed) {
    this.failures = failed ? this.failures + 1 : 0;
    if (this.failures >= this.trip) this.openUntil = now() + this.open;
  }

  isOpen() {
    return now() < this.openUntil;
  }
}

/** The back-off before the attempt after `failures` failures: U(0, min(max, base * 2^(failures-1))). */
const jitter = (destination, failures) =>
  Math.random() * Math.min(destination.max, destination.base * 2 ** (failures - 1));

/** Seconds of a Retry-After in either form; undefined for what is neither. */
const wish = (response) => {
  const value = response.headers.get("retry-after")?.trim() ?? "";
  if (/^\d+$/.test(value)) return Number(value);
  const date = Date.parse(value);
  if (Number.isNaN(date) || !/GMT$/.test(value)) return undefined;
  const sent = Date.parse(response.headers.get("date") ?? "");
  return Math.max(0, (date - (Number.isNaN(sent) ? Date.now() : sent)) / 1000);
};

/** One call, over all its attempts. */
async function call(destination, { url, method, keyed }) {
  if (destination.isOpen()) return { outcome: "refused", refusal: "breaker_open" };
  destination.requests.push(now());
  const deadline = now() + destination.timeout;
  const key = keyed ? randomUUID() : undefined;
  const safe = IDEMPOTENT.has(method) || (keyed && destination.honours);

  for (let attempt = 1; ; attempt += 1) {
    const headers = {};
    if (key) headers["Idempotency-Key"] = key;
    if (attempt > 1) headers["x-retry-attempt"] = String(attempt);
    let outcome;
    let wait;
    try {
      const signal = AbortSignal.timeout(Math.max(1, Math.ceil((deadline - now()) * 1000)));
      const response = await fetch(url, { method, headers, signal, redirect: "manual" });
      await response.arrayBuffer();
      outcome = { outcome: "answer", status: response.status };
      destination.count(response.status === 503);
      if (!RETRYABLE.has(response.status)) return outcome;
      wait = wish(response);
    } catch (error) {
      if (error.name === "TimeoutError") return { outcome: "timeout" };
      outcome = { outcome: "fault" };
      destination.count(true);
      // Refused before a byte was sent: safe for every method. Anything else may have been executed.
      if (error.cause?.code === "ECONNREFUSED") wait = 0;
    }
    const refused = (refusal) => ({ ...outcome, refusal });
    // The free vetoes first, the budget last: a retry refused for another reason costs nothing.
    if (!safe && !(outcome.outcome === "fault" && wait === 0)) return refused("not_idempotent");
    if (attempt >= destination.maxAttempts) return refused("attempts_exhausted");
    if (wait > destination.maxWish) return refused("retry_after_too_long");
    const delay = (wait ?? 0) + jitter(destination, attempt);
    if (now() + delay > deadline - MIN_REMAINING) return refused("deadline");
    if (destination.isOpen()) return refused("breaker_open");
    if (!destination.withdraw()) return refused("budget_exhausted");
    await sleep(delay);
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const { policy, calls } = JSON.parse(line);
  const destination = new Destination(policy);
  for (const each of calls) console.log(JSON.stringify(await call(destination, each)));
  process.exit(0);
}
