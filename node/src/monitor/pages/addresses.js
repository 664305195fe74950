// The local addresses and their rate budgets.

import { h, s } from "./dom.js";
import { count, duration, endpoint } from "./format.js";
import { ask } from "./link.js";
import { badge, fail, table } from "./parts.js";

export const topics = ["cluster"];
export const title = () => "Addresses";

const EVERY = 2000;
let full = null;
let failure = null;
let asked = 0;

// Budgets can be many thousands, so they are not told by themselves.
async function load(redraw) {
  asked = Date.now();
  try {
    full = await ask("/api/v1/cluster");
    failure = null;
  } catch (error) {
    failure = error;
  }
  redraw();
}

export function enter(_, redraw) {
  load(redraw);
}

export function heard(_topic, _data, _params, redraw) {
  if (Date.now() - asked >= EVERY) load(redraw);
}

export function render() {
  const head = h("div", { class: "head", "data-key": "head" }, h("h1", {}, "Addresses and their budgets"));
  if (!full) return [head, failure ? fail(failure) : h("p", { class: "empty" }, "Loading")];
  const rows = full.nodes.flatMap((member) =>
    (member.node?.workers?.addresses ?? []).flatMap((address) => address.budgets.map((budget) => ({ node: member.id, address: address.address, ...budget }))),
  );
  rows.sort((a, b) => (a.remaining === 0 ? 0 : 1) - (b.remaining === 0 ? 0 : 1) || a.node - b.node);
  const columns = [
    { name: "Node", cell: (row) => `${row.node}` },
    { name: "Address", cell: (row) => h("span", { class: "strong" }, row.address) },
    { name: "Endpoint", cell: (row) => h("span", { title: row.endpoint }, endpoint(row.endpoint)) },
    { name: "Left", kind: "wide", cell: (row) => [gauge(row), h("span", { class: "under" }, row.limit === null ? "not told yet" : `${count(row.remaining)} of ${count(row.limit)}`)] },
    { name: "State", cell: (row) => (row.remaining === 0 ? badge("spent", "warning") : badge("usable", "good")) },
    { name: "Next window", number: true, cell: (row) => (row.reset_in_ms === null ? "–" : `in ${duration(row.reset_in_ms)}`) },
    { name: "Under way", number: true, cell: (row) => count(row.in_flight) },
  ];
  return [
    head,
    failure && fail(failure),
    table("Rate budgets of all addresses, spent ones first", columns, rows, (row) => `${row.node} ${row.address} ${row.endpoint}`, "No address has been used yet"),
  ];
}

function gauge(row) {
  const part = row.limit ? (100 * (row.remaining ?? 0)) / row.limit : 0;
  return s(
    "svg",
    { class: "progress", viewBox: "0 0 100 1", preserveAspectRatio: "none", role: "img", "aria-label": `${count(row.remaining)} of ${count(row.limit)} requests left` },
    s("rect", { class: part < 10 ? "failed" : "completed", x: 0, y: 0, width: part.toFixed(2), height: 1 }),
  );
}
