// Charts, drawn from the history's points.

import { h, s } from "./dom.js";
import { moment, short } from "./format.js";

const HEIGHT = 170;
const PAD = { left: 46, right: 10, top: 10, bottom: 22 };

/** A field of the history over time: as it is, or how fast it grows. Averaged down to about `most` values. A point may lack it. */
export function series(history, field, growth, most = 240) {
  const place = history.fields.indexOf(field);
  const points = history.points.filter((point) => typeof point[place] === "number");
  if (points.length < 2) return [];
  const step = Math.max(1, Math.floor(points.length / most));
  const values = [];
  // Groups end at the newest point, so that it is always shown.
  for (let end = points.length - 1; end >= step; end -= step) {
    const [last, first] = [points[end], points[end - step]];
    const seconds = (last[0] - first[0]) / 1000;
    const value = growth ? (seconds > 0 ? Math.max(0, last[place] - first[place]) / seconds : 0) : last[place];
    values.push([last[0], value]);
  }
  return values.reverse();
}

/** The smallest round number that is not below `n`. */
export function round(n) {
  if (!(n > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(n));
  return [1, 2, 2.5, 5, 10].map((step) => step * power).find((step) => step >= n);
}

/** A line without axes, as wide as its place. */
export function spark(values) {
  if (values.length < 2) return s("svg", { class: "spark", viewBox: "0 0 100 24", "aria-hidden": "true" });
  const most = Math.max(...values.map(([, v]) => v), 1e-9);
  const at = ([, v], n) => `${((100 * n) / (values.length - 1)).toFixed(2)},${(23 - (21 * v) / most).toFixed(2)}`;
  const line = values.map(at).join(" ");
  return s(
    "svg",
    { class: "spark", viewBox: "0 0 100 24", preserveAspectRatio: "none", "aria-hidden": "true" },
    s("polygon", { points: `0,24 ${line} 100,24` }),
    s("polyline", { points: line }),
  );
}

/** A chart of one or more lines: `{ name, values, kind }`. Redrawn for the width of its place. */
export function chart(title, unit, lines, width, empty = "The first points come within seconds") {
  const shown = lines.filter((line) => line.values.length > 1);
  const now = lines.map((line) => `${line.name ? `${line.name} ` : ""}${short(line.values.at(-1)?.[1] ?? 0)}`).join(", ");
  const head = h(
    "figcaption",
    {},
    h("span", { class: "chart-title" }, title),
    h("span", { class: "chart-unit" }, unit),
    h("span", { class: "chart-now" }, lines.map((line) => h("span", { class: `key ${line.kind ?? "accent"}` }, line.name && `${line.name} `, h("b", {}, short(line.values.at(-1)?.[1] ?? 0))))),
  );
  if (!shown.length) return h("figure", { class: "chart", "data-key": title }, head, h("p", { class: "empty" }, empty));

  const times = shown.flatMap((line) => [line.values[0][0], line.values.at(-1)[0]]);
  const [from, to] = [Math.min(...times), Math.max(...times)];
  const most = round(Math.max(...shown.flatMap((line) => line.values.map(([, v]) => v))));
  const [w, b] = [width - PAD.left - PAD.right, HEIGHT - PAD.top - PAD.bottom];
  const x = (t) => PAD.left + (w * (t - from)) / Math.max(1, to - from);
  const y = (v) => PAD.top + b - (b * v) / most;
  const grid = [0, 0.5, 1].map((part) => [
    s("line", { class: "grid", x1: PAD.left, x2: width - PAD.right, y1: y(part * most), y2: y(part * most) }),
    s("text", { class: "tick", x: PAD.left - 6, y: y(part * most) + 4, "text-anchor": "end" }, short(part * most)),
  ]);
  const labels = [0, 0.5, 1].map((part) =>
    s("text", { class: "tick", x: x(from + part * (to - from)), y: HEIGHT - 6, "text-anchor": ["start", "middle", "end"][part * 2] }, moment(from + part * (to - from), to - from)),
  );
  const drawn = shown.map((line) => {
    const points = line.values.map(([t, v]) => `${x(t).toFixed(1)},${y(v).toFixed(1)}`).join(" ");
    const area = `${x(line.values[0][0]).toFixed(1)},${y(0)} ${points} ${x(line.values.at(-1)[0]).toFixed(1)},${y(0)}`;
    return s("g", { class: `line ${line.kind ?? "accent"}` }, s("polygon", { points: area }), s("polyline", { points }));
  });
  const cursor = s("g", { class: "cursor" });
  const point = (event) => {
    const place = event.currentTarget.getBoundingClientRect();
    const across = ((event.clientX - place.left) * width) / place.width;
    const t = from + ((across - PAD.left) / w) * (to - from);
    const near = (line) => line.values.reduce((a, c) => (Math.abs(c[0] - t) < Math.abs(a[0] - t) ? c : a));
    const at = near(shown[0]);
    const text = `${moment(at[0], to - from)}  ${shown.map((line) => `${line.name ? `${line.name} ` : ""}${short(near(line)[1])}`).join(", ")}`;
    const left = x(at[0]) > width / 2;
    const group = event.currentTarget.querySelector(".cursor");
    group.replaceChildren(
      s("line", { x1: x(at[0]), x2: x(at[0]), y1: PAD.top, y2: PAD.top + b }),
      s("text", { x: x(at[0]) + (left ? -6 : 6), y: PAD.top + 12, "text-anchor": left ? "end" : "start" }, text),
    );
  };
  const drawing = s(
    "svg",
    {
      viewBox: `0 0 ${width} ${HEIGHT}`,
      role: "img",
      "aria-label": `${title}, ${unit}: now ${now}, at most ${short(most)}`,
      onpointermove: point,
      onpointerleave: (event) => event.currentTarget.querySelector(".cursor").replaceChildren(),
    },
    grid,
    drawn,
    labels,
    cursor,
  );
  return h("figure", { class: "chart", "data-key": title }, head, drawing);
}
