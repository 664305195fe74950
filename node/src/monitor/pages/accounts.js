// The accounts that failed or were gone, with the reasons.

import { h, say } from "./dom.js";
import { count } from "./format.js";
import { ask } from "./link.js";
import { act } from "./operator.js";
import { fail, table } from "./parts.js";

export const topics = ["cluster"];
export const title = ({ id, list }) => `${list === "errors" ? "Errors" : "Gone"} of crawl ${id}`;

const PAGE = 100;
let rows = null;
let next = null;
let failure = null;
let counted = null;

async function load({ id, list }, more, redraw) {
  const after = more && next ? `&after=${encodeURIComponent(next)}` : "";
  try {
    const page = await ask(`/api/v1/crawls/${id}/${list}?limit=${PAGE}${after}`);
    rows = more ? [...(rows ?? []), ...page[list]] : page[list];
    next = page.next;
    failure = null;
  } catch (error) {
    failure = error;
  }
  redraw();
}

export function enter(params, redraw) {
  rows = null;
  next = null;
  failure = null;
  counted = null;
  load(params, false, redraw);
}

export function heard(topic, data, params, redraw) {
  const crawl = data.crawls?.find((c) => c.id === Number(params.id));
  if (topic !== "cluster" || !crawl) return;
  const now = crawl.users[params.list === "errors" ? "failed" : "gone"];
  // A list that was read further stays as it is read.
  if (counted !== null && counted !== now && (rows?.length ?? 0) <= PAGE) load(params, false, redraw);
  counted = now;
}

export function render({ cluster, redraw }, params) {
  const { id, list } = params;
  const errors = list === "errors";
  const allowed = cluster.actions;
  const off = allowed ? null : "Actions are off: start the node with --monitor-token TOKEN";
  const retry = async (user) => {
    try {
      const answer = await act(`/api/v1/crawls/${id}/errors/retry${user ? `?user=${encodeURIComponent(user)}` : ""}`);
      if (answer) say(`${count(answer.retried)} accounts are in the queue again`);
      if (answer) await load(params, false, redraw);
    } catch (error) {
      failure = error;
      redraw();
    }
  };
  const columns = [
    { name: "Account", cell: (row) => h("span", { class: "strong" }, row.user) },
    { name: errors ? "What failed, and why" : "Why", kind: "wide", cell: (row) => h("ul", { class: "why" }, row.why.map((w) => h("li", {}, h("b", {}, w.operation), w.attempts ? ` (${count(w.attempts)} ${w.attempts === 1 ? "attempt" : "attempts"}): ` : ": ", w.reason))) },
    { name: "Steps from a target", number: true, cell: (row) => count(row.depth) },
  ];
  if (errors) columns.push({ name: "Again", cell: (row) => h("button", { type: "button", disabled: !allowed, title: off, "aria-label": `Retry account ${row.user}`, onclick: () => retry(row.user) }, "Retry") });
  const empty = errors ? "No account has failed" : "No account was gone";
  return [
    h(
      "div",
      { class: "head", "data-key": "head" },
      h("h1", {}, h("a", { href: `#/crawls/${id}` }, `Crawl ${id}`), errors ? "errors" : "accounts that were gone", counted !== null && h("span", { class: "named" }, count(counted))),
      errors && h("div", { class: "buttons" }, h("button", { type: "button", class: "primary", disabled: !allowed || !rows?.length, title: off, onclick: () => retry(null) }, "Retry all"), off && h("p", { class: "hint" }, off)),
    ),
    failure && fail(failure),
    rows === null && !failure ? h("p", { class: "empty" }, "Loading") : null,
    rows && table(title(params), columns, rows, (row) => `account-${row.user}`, empty),
    next && h("p", { class: "more", "data-key": "more" }, h("button", { type: "button", onclick: () => load(params, true, redraw) }, "Show more")),
  ];
}
