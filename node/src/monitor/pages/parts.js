// Parts that several pages share.

import { h, s } from "./dom.js";
import { count, duration, ending, percent, rate } from "./format.js";

/** A table that becomes a list of cards on a narrow screen. Columns: `{ name, number, cell(row) }`. */
export function table(caption, columns, rows, key, empty) {
  if (!rows.length) return h("p", { class: "empty", "data-key": caption }, empty);
  const head = columns.map((c) => h("th", { scope: "col", role: "columnheader", class: c.number && "number" }, c.name));
  const line = (row) =>
    h(
      "tr",
      { role: "row", "data-key": key(row) },
      columns.map((c) => h("td", { role: "cell", class: [c.number && "number", c.kind].filter(Boolean).join(" ") || null, "data-label": c.name }, c.cell(row))),
    );
  return h(
    "table",
    { class: "cards", role: "table", "data-key": caption },
    h("caption", { class: "unseen" }, caption),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, head)),
    h("tbody", { role: "rowgroup" }, rows.map(line)),
  );
}

/** A part of a page under a heading. */
export function part(title, ...children) {
  return h("section", { class: "part", "data-key": title }, h("h2", {}, title), children);
}

export function tile(name, value, note, extra, kind) {
  return h("div", { class: `tile ${kind ?? ""}`, "data-key": name }, h("span", { class: "name" }, name), h("b", {}, value), h("span", { class: "note" }, note ?? ""), extra);
}

export const badge = (text, kind) => h("span", { class: `badge ${kind}` }, text);

const PHASES = { running: "good", loading: "info", paused: "warning", finished: "quiet", cancelled: "quiet" };
export const phase = (name) => badge(name, PHASES[name] ?? "quiet");

/** Reasons with their weight; something to look at comes first. */
export function reasons(list) {
  const order = { trouble: 0, warning: 1, info: 2 };
  const sorted = [...list].sort((a, b) => order[a.weight] - order[b.weight]);
  return h("ul", { class: "reasons" }, sorted.map((r) => h("li", { class: r.weight }, r.where, r.where && ": ", r.text)));
}

const FINAL = ["completed", "gone", "failed", "cancelled"];
export const done = (crawl) => FINAL.reduce((sum, state) => sum + crawl.users[state], 0);

/** How far a crawl is, by what became of its accounts. */
export function progress(crawl) {
  const { users } = crawl;
  const all = Math.max(1, users.accepted);
  let x = 0;
  const segments = [...FINAL, "active"].map((state) => {
    const width = (100 * users[state]) / all;
    const segment = s("rect", { class: state, x: x.toFixed(3), y: 0, width: width.toFixed(3), height: 1 });
    x += width;
    return segment;
  });
  const label = `${count(done(crawl))} of ${count(users.accepted)} accounts done`;
  return s("svg", { class: "progress", viewBox: "0 0 100 1", preserveAspectRatio: "none", role: "img", "aria-label": label }, segments);
}

/** `38 % · 1,204 of 3,100`. */
export const position = (crawl) => `${percent(done(crawl), crawl.users.accepted)} · ${count(done(crawl))} of ${count(crawl.users.accepted)}`;

/** When a crawl ends, as far as anybody knows. */
export function end(crawl) {
  if (crawl.phase === "finished" || crawl.phase === "cancelled") {
    return `${crawl.phase} after ${duration(crawl.ended_at_ms === null ? null : crawl.ended_at_ms - crawl.submitted_at_ms)}`;
  }
  if (crawl.phase === "paused") return "not while it is paused";
  if (crawl.estimate_s === null) return "not known yet";
  return `in ${duration(crawl.estimate_s * 1000)}, ${ending(crawl.estimate_s)}`;
}

export const pace = (crawl) => (crawl.phase === "finished" || crawl.phase === "cancelled" ? "–" : `${rate(crawl.rates.users)}/s`);

export const fail = (error) => h("p", { class: "failure", role: "alert" }, error.message);

/** Whether this is an address and nothing else: it comes from another node. */
export const reachable = (address) => /^[\w.-]+:\d+$|^\[[\da-f:]+\]:\d+$/i.test(address);

/** Where the other nodes show what this one cannot. */
export function others(cluster, node, page, words) {
  const there = cluster.nodes.filter((member) => member.id !== node && reachable(member.node?.workers?.http ?? ""));
  if (cluster.nodes.length < 2) return null;
  const links = there.map((member) => [h("a", { href: `http://${member.node.workers.http}/${page}` }, `node ${member.id}`), " "]);
  return h("p", { class: "hint", "data-key": "others" }, words, " ", links.length ? ["Others: ", links] : "No other node answers now.");
}

/** The width that a chart has in its place. */
export function chartWidth(columns) {
  const room = document.getElementById("main").clientWidth - 32;
  return Math.max(260, Math.floor(window.innerWidth < 900 ? room : room / columns) - 34);
}
