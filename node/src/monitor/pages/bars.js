// Bars: how many over time, and shares of a whole.

import { h, s } from "./dom.js";
import { count, day, minute, short } from "./format.js";
import { round } from "./chart.js";

const HEIGHT = 190;
const PAD = { left: 46, right: 10, top: 10, bottom: 24 };
const DAY = 86_400_000;

/** How a bucket is called: the shorter they are, the more is said. */
export function bucketName(at, interval) {
  if (interval >= DAY) return interval === DAY ? day(at) : `${day(at)} to ${day(at + interval - 1)}`;
  return interval < 60_000 ? new Date(at).toISOString().slice(0, 19).replace("T", " ") : minute(at);
}

/** Tweets over time: `{ interval_ms, buckets }` of the API. */
export function overTime({ interval_ms: interval, buckets }, width) {
  const title = "Tweets over time";
  const head = (unit, now) => h("figcaption", {}, h("span", { class: "chart-title" }, title), h("span", { class: "chart-unit" }, unit), h("span", { class: "chart-now" }, now));
  if (!buckets.length) return h("figure", { class: "chart", "data-key": title }, head("", ""), h("p", { class: "empty" }, "No tweet here has a date"));
  const most = round(Math.max(...buckets.map((bucket) => bucket.tweets)));
  const [w, b] = [width - PAD.left - PAD.right, HEIGHT - PAD.top - PAD.bottom];
  const step = w / buckets.length;
  const y = (n) => PAD.top + b - (b * n) / most;
  const grid = [0, 0.5, 1].map((part) => [
    s("line", { class: "grid", x1: PAD.left, x2: width - PAD.right, y1: y(part * most), y2: y(part * most) }),
    s("text", { class: "tick", x: PAD.left - 6, y: y(part * most) + 4, "text-anchor": "end" }, short(part * most)),
  ]);
  const bars = buckets.map(({ at_ms, tweets }, n) =>
    s("g", { class: "bar" },
      s("title", {}, `${bucketName(at_ms, interval)}: ${count(tweets)}`),
      // As high as the chart, so that the pointer finds low ones too.
      s("rect", { class: "ground", x: PAD.left + n * step, y: PAD.top, width: step, height: b }),
      s("rect", { x: PAD.left + n * step + step * 0.1, y: y(tweets), width: step * 0.8, height: PAD.top + b - y(tweets) }),
    ),
  );
  const last = buckets.at(-1).at_ms;
  const name = (at) => (interval >= DAY ? day(at) : minute(at));
  const labels = [
    s("text", { class: "tick", x: PAD.left, y: HEIGHT - 7 }, name(buckets[0].at_ms)),
    buckets.length > 1 && s("text", { class: "tick", x: width - PAD.right, y: HEIGHT - 7, "text-anchor": "end" }, name(last)),
  ];
  const top = buckets.reduce((a, c) => (c.tweets > a.tweets ? c : a));
  const label = `${title}: ${buckets.length} bars from ${bucketName(buckets[0].at_ms, interval)} to ${bucketName(last, interval)}, most ${count(top.tweets)} at ${bucketName(top.at_ms, interval)}`;
  const drawing = s("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": label }, grid, bars, labels);
  return h("figure", { class: "chart", "data-key": title }, head("universal time", `most ${count(top.tweets)} at ${bucketName(top.at_ms, interval)}`), drawing);
}

/** A share of the whole as a bar beside its number. */
export function share(part, most) {
  const width = most > 0 ? (100 * part) / most : 0;
  return s("svg", { class: "share", viewBox: "0 0 100 1", preserveAspectRatio: "none", "aria-hidden": "true" }, s("rect", { width: width.toFixed(2), height: 1 }));
}
