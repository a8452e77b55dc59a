// Drawings of the live page: small SVGs, each with a text that says the same. Nothing here knows where numbers come from.

const SVG = "http://www.w3.org/2000/svg";

export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// A round number at or over `value`.
export function ceiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const step = [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((factor) => factor * power >= value * 0.999);
  return step * power;
}

// The indices of those of `times` that are after `from`, in bins of `size` neighbours. `number` is what the first of
// `times` has among all there ever were: bins end at multiples of `size`, so that the picture does not flicker as it moves.
export function binned(times, from, size, number) {
  let at = times.length;
  while (at > 0 && times[at - 1] > from) at -= 1;
  const result = [];
  while (at < times.length) {
    const end = Math.min(times.length, at + size - ((number + at) % size));
    result.push([at, end]);
    at = end;
  }
  return result;
}

export const mean = (values, [from, to]) => {
  let sum = 0;
  for (let at = from; at < to; at += 1) sum += values[at] ?? 0;
  return sum / (to - from);
};

export const highest = (values, [from, to]) => {
  let best = null;
  for (let at = from; at < to; at += 1) if (values[at] != null && (best === null || values[at] > best)) best = values[at];
  return best;
};

const fixed = (number) => Math.round(number * 10) / 10;

// `points` are [x, y] or null where nothing is known.
function line(points) {
  let path = "";
  let pen = false;
  for (const point of points) {
    if (point === null) { pen = false; continue; }
    path += `${pen ? "L" : "M"}${fixed(point[0])} ${fixed(point[1])}`;
    pen = true;
  }
  return path;
}

function area(upper, lower) {
  if (upper.length === 0) return "";
  return `${line(upper)}${line([...lower].reverse()).replace("M", "L")}Z`;
}

// A chart over time. `layers` are drawn in order: {kind: "area" | "line", values: [number | null], className, over: [number]}.
// One value for each bin; `xs` are the places of the bins between 0 and 1. `bottom` and `top` are the ends of the scale.
export function timeChart({ width, height, xs, layers, top, bottom = 0, ticks = [] }) {
  const right = width - 1;
  const inner = height - 2;
  const y = (value) => 1 + inner - (Math.min(Math.max(value, bottom), top) - bottom) / (top - bottom || 1) * inner;
  const root = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true", focusable: "false" });
  for (const tick of ticks) {
    root.append(svg("line", { class: "grid", x1: 0, x2: width, y1: fixed(y(tick)), y2: fixed(y(tick)) }));
  }
  for (const layer of layers) {
    const points = layer.values.map((value, at) => (value == null ? null : [xs[at] * right, y(value)]));
    if (layer.kind === "area") {
      const lower = layer.values.map((_, at) => [xs[at] * right, y(layer.over ? layer.over[at] : bottom)]);
      root.append(svg("path", { class: layer.className, d: area(points.map((point, at) => point ?? lower[at]), lower) }));
    } else {
      root.append(svg("path", { class: layer.className, d: line(points), fill: "none" }));
    }
  }
  return root;
}

// What the breaker did: blocks of [from, to, state], as shares of the width.
export function band({ width, height, blocks }) {
  const root = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true", focusable: "false" });
  for (const [from, to, state] of blocks) {
    const x = from * width;
    const closed = state === "closed";
    root.append(svg("rect", {
      class: `state ${state}`,
      x: fixed(x),
      width: Math.max(fixed((to - from) * width), closed ? 0 : 1),
      y: closed ? height / 2 - 1.5 : 0,
      height: closed ? 3 : height,
      rx: closed ? 1.5 : 1,
    }));
  }
  return root;
}

// Where `value` stands between 1 and its bound, and beyond.
export function gauge({ value, bound, top }) {
  const share = (number) => `${fixed(Math.min(1, Math.max(0, (number - 1) / (top - 1))) * 100)}%`;
  const root = svg("svg", { class: "gauge", width: "100%", height: 22, "aria-hidden": "true", focusable: "false" });
  root.append(
    svg("rect", { class: "track", x: 0, y: 8, width: "100%", height: 6, rx: 3 }),
    svg("rect", { class: "allowed", x: 0, y: 8, width: share(bound), height: 6, rx: 3 }),
    svg("rect", { class: value > bound + 0.005 ? "beyond" : "reached", x: 0, y: 8, width: share(value), height: 6, rx: 3 }),
    svg("rect", { class: "mark-bound", x: share(bound), y: 3, width: 2, height: 16, rx: 1 }),
  );
  return root;
}

// One exchange: its attempts where they lie in its time, the pauses between them, and where it was refused another.
// `total` is the end of the scale, in seconds, the same for all that are to be compared.
export function waterfall({ attempts, seconds, refused, total }) {
  const at = (time) => `${fixed((time / total) * 100)}%`;
  const root = svg("svg", { class: "waterfall", width: "100%", height: 20, "aria-hidden": "true", focusable: "false" });
  let end = 0;
  for (const attempt of attempts) {
    if (attempt.began > end) root.append(svg("line", { class: "pause", x1: at(end), x2: at(attempt.began), y1: 10, y2: 10 }));
    end = Math.max(end, attempt.began + attempt.seconds);
  }
  if (seconds > end && end > 0) root.append(svg("line", { class: "rest", x1: at(end), x2: at(seconds), y1: 10, y2: 10 }));
  for (const attempt of attempts) {
    const share = attempt.seconds / total;
    // A late attempt goes on beside its retry: it has the upper half, and what began meanwhile the lower.
    const beside = attempts.some((other) => other.late && other.n < attempt.n && other.began + other.seconds > attempt.began);
    const above = attempt.late && attempts.some((other) => other.n > attempt.n && other.began < attempt.began + attempt.seconds);
    const place = above ? { y: 2, height: 7 } : beside ? { y: 11, height: 7 } : { y: 2, height: 16 };
    const block = svg("rect", { class: `attempt ${tone(attempt.outcome)}`, x: at(attempt.began), ...place, rx: 2 });
    block.style.width = `max(3px, ${share * 100}%)`;
    root.append(block);
    if (share > 0.16 && !above && !beside) {
      const text = svg("text", { class: `in ${tone(attempt.outcome)}`, x: at(attempt.began), dx: 5, y: 14 });
      text.textContent = attempt.outcome;
      root.append(text);
    }
  }
  if (refused) root.append(svg("rect", { class: "stop", x: at(attempts.length ? end : 0), y: 0, width: 3, height: 20, transform: `translate(${attempts.length ? 4 : 0} 0)` }));
  return root;
}

export function tone(outcome) {
  if (/^[123]\d\d$/.test(outcome)) return "good";
  if (/^4\d\d$/.test(outcome)) return "client";
  if (/^5\d\d$/.test(outcome)) return "bad";
  return outcome === "abandoned" || outcome === "stale" || outcome === "superseded" ? "gone" : "faulted";
}
