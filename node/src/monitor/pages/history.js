// What was: the last hour live, longer ranges as this node or Graphite remembers them.

import { chart, series } from "./chart.js";
import { h } from "./dom.js";
import { ask } from "./link.js";
import { chartWidth, fail } from "./parts.js";

export const topics = ["cluster", "history"];
export const title = () => "History";

const NAMES = { hour: "Hour", "6h": "6 hours", day: "Day", week: "Week" };
/** A long range is asked for again after this, ms; sooner where something was wrong. */
const AGAIN = [60_000, 10_000];

let range = "hour";
/** The answer to a long range; null while it is waited for. */
let past = null;
let failure = null;
let asked = 0;

async function load(redraw) {
  const wanted = range;
  asked = Date.now();
  try {
    const answer = await ask(`/api/v1/history?range=${wanted}`);
    if (wanted === range) [past, failure] = [answer, null];
  } catch (error) {
    if (wanted === range) failure = error;
  }
  redraw();
}

function choose(name, redraw) {
  [range, past, failure] = [name, null, null];
  redraw();
  if (name !== "hour") load(redraw);
}

export function enter(_, redraw) {
  choose(range, redraw);
}

export function heard(topic, _, __, redraw) {
  const wait = AGAIN[failure || past?.trouble ? 1 : 0];
  if (topic === "history" && range !== "hour" && Date.now() - asked > wait) load(redraw);
}

/** What a node remembers. */
function own(draw, node) {
  return [
    draw("Accounts done", "per second, all crawls", [["users", true]]),
    draw("Tweets", "per second, all crawls", [["tweets", true]]),
    draw("Followers", "per second, all crawls", [["followers", true]]),
    draw("Jobs", "of all crawls", [["leased", false, "running"], ["delayed", false, "delayed", "warning"]]),
    draw("Waiting accounts and jobs", "of all crawls", [["queued", false]]),
    draw("Failed accounts", "in error lists", [["failed", false, "", "trouble"]]),
    draw("Requests", `per second, node ${node}`, [["requests", true, "all"], ["request_errors", true, "without a good answer", "trouble"]]),
    draw("Busy workers", `node ${node}`, [["busy", false]]),
  ];
}

/** What twm-stats tells Graphite. */
function graphite(draw, fields) {
  const found = (what) => [[`${what}.total_fetched`, true, "fetched"], [`${what}.total_included`, true, "kept", "good"]];
  const jobs = (state, growth) => [
    [`stats.worker.${state}.timeline`, growth, "timelines"],
    [`stats.worker.${state}.follower`, growth, "followers", "good"],
    [`stats.worker.${state}.analyzer`, growth, "analyses", "warning"],
    [`stats.worker.${state}.update`, growth, "updates", "quiet"],
  ];
  const node = /^stats\.ops\./;
  const nodes = fields.filter((field) => node.test(field)).sort();
  return [
    draw("Tweets", "per second, of timelines", found("timeline")),
    draw("New tweets", "per second, of updates", found("update")),
    draw("Followers", "per second", [["follower.total_fetched", true]]),
    draw("Candidates", "per second, of analyses", found("analyzer")),
    draw("Jobs", "running", jobs("ongoing", false)),
    draw("Jobs done", "per second", jobs("completed", true)),
    ...nodes.map((field) => draw(`Fetched by ${field.replace(node, "")}`, "items per second", [[field, false]])),
  ];
}

/** Where the points come from, in words. */
function source(shown, node) {
  if (shown.trouble) return h("p", { class: "failure", role: "alert", "data-key": "source" }, `${shown.trouble}. This is what node ${node} remembers itself.`);
  const words = shown.source === "graphite" ? "From Graphite, of the whole cluster." : `As node ${node} remembers it since its start.`;
  return h("p", { class: "hint", "data-key": "source" }, words);
}

export function render({ history, cluster, redraw }) {
  const one = (name) => h("button", { type: "button", "data-key": name, "aria-pressed": String(range === name), onclick: () => choose(name, redraw) }, NAMES[name] ?? name);
  const buttons = (history.ranges ?? ["hour"]).map(one);
  const head = h("div", { class: "head", "data-key": "head" }, h("h1", {}, "History"), h("div", { class: "buttons group", role: "group", "aria-label": "The last" }, buttons));
  const shown = range === "hour" ? { ...history, source: "node", trouble: null } : past;
  if (!shown) return [head, failure ? fail(failure) : h("p", { class: "empty", role: "status" }, "Asking for what was")];
  const width = chartWidth(2);
  const empty = shown.source === "graphite" ? "Graphite has nothing of it" : range === "hour" ? undefined : "The first points come within minutes";
  const draw = (name, unit, lines) => chart(name, unit, lines.map(([field, growth, label, kind]) => ({ name: label, kind, values: series(shown, field, growth) })), width, empty);
  const charts = shown.source === "graphite" ? graphite(draw, shown.fields) : own(draw, cluster.seen_by);
  return [head, failure && fail(failure), source(shown, cluster.seen_by), h("div", { class: "charts", "data-key": `charts-${shown.source}` }, charts)];
}
