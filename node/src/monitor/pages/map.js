// Where tweets come from: a map whose degrees are squares, with a graticule and the land in outlines.

import { h, s } from "./dom.js";
import { count } from "./format.js";
import { LAND } from "./land.js";

const EARTH = { west: -180, east: 180, south: -90, north: 90 };
/** Degrees between two lines of the graticule, and room for each with its label. */
const STEPS = [90, 45, 30, 15, 10, 5, 2, 1, 0.5, 0.2, 0.1];
const ROOM = 62;
/** Closer than this, in degrees, coarse outlines would mislead. */
const CLOSE = 20;

const degrees = (n) => String(Math.round(Math.abs(n) * 10) / 10);
const latitude = (n) => (n === 0 ? "0°" : `${degrees(n)}° ${n > 0 ? "N" : "S"}`);
const longitude = (n) => (n === 0 || Math.abs(n) === 180 ? `${degrees(n)}°` : `${degrees(n)}° ${n > 0 ? "E" : "W"}`);

/** The part of the Earth that these cells lie in, twice as wide as high as the Earth is. */
function around(cells) {
  const lats = cells.map((cell) => cell.lat);
  const lons = cells.map((cell) => cell.lon);
  const [south, north, west, east] = [Math.min(...lats), Math.max(...lats), Math.min(...lons), Math.max(...lons)];
  const height = Math.min(180, Math.max(1, (north - south) * 1.2, (east - west) * 0.6));
  const middle = (low, high, size, least, most) => Math.min(most - size, Math.max(least, (low + high - size) / 2));
  const [bottom, left] = [middle(south, north, height, -90, 90), middle(west, east, 2 * height, -180, 180)];
  return { west: left, east: left + 2 * height, south: bottom, north: bottom + height };
}

/** The map of `places` of the API; `near` shows only where there are any. */
export function map(places, near, width, toggle) {
  const title = "Places";
  const { cells, tweets } = places;
  const view = near && cells.length ? around(cells) : EARTH;
  const height = width / 2;
  const scale = width / (view.east - view.west);
  const x = (lon) => (lon - view.west) * scale;
  const y = (lat) => (view.north - lat) * scale;
  const step = STEPS.findLast((step) => step * scale >= ROOM) ?? STEPS[0];
  const ticks = (low, high) => Array.from({ length: Math.floor(high / step + 1e-9) - Math.ceil(low / step - 1e-9) + 1 }, (_, n) => (Math.ceil(low / step - 1e-9) + n) * step);
  const land = view.east - view.west < CLOSE ? [] : LAND.map((outline) => s("polygon", { class: "land", points: outline.map(([lon, lat]) => `${x(lon).toFixed(1)},${y(lat).toFixed(1)}`).join(" ") }));
  const lines = [
    ticks(view.west, view.east).map((lon) => [
      s("line", { class: lon === 0 ? "grid origin" : "grid", x1: x(lon), x2: x(lon), y1: 0, y2: height }),
      x(lon) > 20 && x(lon) < width - 48 && s("text", { class: "tick", x: x(lon) + 3, y: height - 5 }, longitude(lon)),
    ]),
    ticks(view.south, view.north).map((lat) => [
      s("line", { class: lat === 0 ? "grid origin" : "grid", y1: y(lat), y2: y(lat), x1: 0, x2: width }),
      y(lat) > 16 && y(lat) < height - 24 && s("text", { class: "tick", x: 4, y: y(lat) - 4 }, latitude(lat)),
    ]),
  ];
  const size = Math.min(1, width / 600);
  const most = Math.max(1, ...cells.map((cell) => cell.tweets));
  // Large ones first, so that small ones lie on top.
  const dots = cells.map((cell) =>
    s("circle", { class: "dot", cx: x(cell.lon).toFixed(1), cy: y(cell.lat).toFixed(1), r: (size * (2.5 + 8 * Math.sqrt(cell.tweets / most))).toFixed(1) }, s("title", {}, `${latitude(cell.lat)} ${longitude(cell.lon)}: ${count(cell.tweets)}`)),
  );
  const top = cells[0];
  const label = top
    ? `${title}: ${count(tweets)} tweets in ${count(cells.length)} cells, most of them, ${count(top.tweets)}, at ${latitude(top.lat)} ${longitude(top.lon)}`
    : `${title}: none`;
  const head = h(
    "figcaption",
    {},
    h("span", { class: "chart-title" }, title),
    h("span", { class: "chart-unit" }, `${count(tweets)} tweets with a place`),
    h("span", { class: "chart-now" }, cells.length ? h("button", { type: "button", class: "quiet", "aria-pressed": String(near), onclick: toggle }, "Only where there are any") : null),
  );
  if (!cells.length) return h("figure", { class: "chart", "data-key": title }, head, h("p", { class: "empty" }, "No tweet here has a place"));
  return h("figure", { class: "chart", "data-key": title }, head, s("svg", { class: "map", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label }, land, lines, dots));
}
