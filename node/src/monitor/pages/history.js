// The last hour and the last day.

import { chart, series } from "./chart.js";
import { h } from "./dom.js";
import { ask } from "./link.js";
import { chartWidth, fail } from "./parts.js";

export const topics = ["cluster", "history"];
export const title = () => "History";

let range = "hour";
let day = null;
let failure = null;

async function choose(name, redraw) {
  range = name;
  redraw();
  if (name !== "day") return;
  try {
    day = await ask("/api/v1/history?range=day");
    failure = null;
  } catch (error) {
    failure = error;
  }
  redraw();
}

export function enter(_, redraw) {
  choose(range, redraw);
}

export function render({ history, cluster, redraw }) {
  const shown = range === "day" && day ? day : history;
  const one = (name) => h("button", { type: "button", "data-key": name, "aria-pressed": String(range === name), onclick: () => choose(name, redraw) }, `The last ${name}`);
  const width = chartWidth(2);
  const line = (field, growth, name, kind) => ({ name, kind, values: series(shown, field, growth) });
  return [
    h("div", { class: "head", "data-key": "head" }, h("h1", {}, "History"), h("div", { class: "buttons group", role: "group", "aria-label": "Range" }, one("hour"), one("day"))),
    failure && fail(failure),
    h(
      "div",
      { class: "charts", "data-key": "charts" },
      chart("Accounts done", "per second, all crawls", [line("users", true)], width),
      chart("Tweets", "per second, all crawls", [line("tweets", true)], width),
      chart("Followers", "per second, all crawls", [line("followers", true)], width),
      chart("Jobs", "of all crawls", [line("leased", false, "running"), line("delayed", false, "delayed", "warning")], width),
      chart("Waiting accounts and jobs", "of all crawls", [line("queued", false)], width),
      chart("Failed accounts", "in error lists", [line("failed", false, "", "trouble")], width),
      chart("Requests", `per second, node ${cluster.seen_by}`, [line("requests", true, "all"), line("request_errors", true, "without a good answer", "trouble")], width),
      chart("Busy workers", `node ${cluster.seen_by}`, [line("busy", false)], width),
    ),
  ];
}
