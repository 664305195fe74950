// One crawl: how far, how fast, what holds it up, when it ends.

import { chart } from "./chart.js";
import { h, say } from "./dom.js";
import { count, duration, rate } from "./format.js";
import { act, sure } from "./operator.js";
import { ask } from "./link.js";
import { badge, chartWidth, done, end, fail, part, phase, position, progress, reasons, table, tile } from "./parts.js";

export const topics = ["cluster"];
export const title = ({ id }) => `Crawl ${id}`;

const POINTS = 900;
/** What the crawl had done at each event since the page was opened. */
let points = [];
let failure = null;
let alone = null;

export function enter({ id }) {
  points = [];
  failure = null;
  alone = null;
  // One that has long been over is not told by itself.
  ask(`/api/v1/crawls/${id}`).then((crawl) => (alone = crawl), (error) => (failure = error));
}

export function heard(topic, data, { id }) {
  const crawl = data.crawls?.find((c) => c.id === Number(id));
  if (topic !== "cluster" || !crawl) return;
  const tweets = (crawl.jobs.timeline?.items ?? 0) + (crawl.jobs.update?.items ?? 0);
  points.push([data.at_ms, crawl.rates.users, crawl.rates.tweets, crawl.rates.followers, tweets]);
  if (points.length > POINTS) points.shift();
}

export function render({ cluster, redraw }, { id }) {
  const crawl = cluster.crawls.find((c) => c.id === Number(id)) ?? alone;
  if (!crawl) return [failure ? fail(failure) : h("p", { class: "empty" }, "Loading")];
  return [
    h(
      "div",
      { class: "head", "data-key": "head" },
      h("h1", {}, `Crawl ${crawl.id}`, crawl.name && h("span", { class: "named" }, crawl.name), phase(crawl.phase)),
      buttons(crawl, cluster.actions, redraw),
    ),
    failure && fail(failure),
    h("div", { class: "part big", "data-key": "progress" }, h("p", { class: "position" }, position(crawl), h("span", { class: "ends" }, ["running", "loading"].includes(crawl.phase) && "ends ", end(crawl))), progress(crawl), legend(crawl)),
    crawl.reasons.length ? part("What holds it up", reasons(crawl.reasons)) : null,
    tiles(crawl),
    charts(),
    operations(crawl),
    about(crawl),
  ];
}

function buttons(crawl, allowed, redraw) {
  const over = crawl.phase === "finished" || crawl.phase === "cancelled";
  const off = allowed ? null : "Actions are off: start the node with --monitor-token TOKEN";
  const run = async (verb, said) => {
    failure = null;
    try {
      if (await act(`/api/v1/crawls/${crawl.id}/${verb}`)) say(`Crawl ${crawl.id} is ${said}`);
    } catch (error) {
      failure = error;
    }
    redraw();
  };
  const cancel = async () => {
    const text = `${count(crawl.users.waiting + crawl.users.active)} accounts will not be crawled. This cannot be undone.`;
    if (await sure(`Cancel crawl ${crawl.id}?`, text, "Cancel the crawl")) await run("cancel", "cancelled");
  };
  const one = (key, name, kind, disabled, onclick) => h("button", { type: "button", "data-key": key, class: kind, title: off, disabled: disabled || !allowed, onclick }, name);
  return h(
    "div",
    { class: "buttons" },
    h("a", { class: "button", href: `#/crawls/${crawl.id}/errors` }, `Errors (${count(crawl.users.failed)})`),
    h("a", { class: "button", href: `#/crawls/${crawl.id}/gone` }, `Gone (${count(crawl.users.gone)})`),
    crawl.phase === "paused" ? one("resume", "Resume", "primary", false, () => run("resume", "resumed")) : one("pause", "Pause", "primary", over, () => run("pause", "paused")),
    one("cancel", "Cancel", "danger", over, cancel),
    off && h("p", { class: "hint" }, off),
  );
}

function legend(crawl) {
  const states = ["completed", "gone", "failed", "cancelled", "active", "waiting"];
  return h("ul", { class: "legend" }, states.map((state) => h("li", { class: state }, `${state} `, h("b", {}, count(crawl.users[state])))));
}

function tiles(crawl) {
  return h(
    "div",
    { class: "tiles", "data-key": "tiles" },
    tile("Accounts", `${rate(crawl.rates.users)}/s`, `${count(done(crawl))} done`),
    tile("Tweets", `${rate(crawl.rates.tweets)}/s`),
    tile("Followers", `${rate(crawl.rates.followers)}/s`),
    tile("Jobs running", count(crawl.leased)),
    tile("Could run", count(crawl.queued + crawl.ready)),
    tile("Delayed", count(crawl.delayed), "budgets and retries", null, crawl.delayed > 0 && "warning"),
  );
}

function charts() {
  const width = chartWidth(2);
  const line = (field) => [{ values: points.map((p) => [p[0], p[field]]) }];
  return h(
    "div",
    { class: "charts", "data-key": "charts" },
    chart("Accounts", "per second, since this page was opened", line(1), width),
    chart("Tweets", "per second, since this page was opened", line(2), width),
  );
}

function operations(crawl) {
  const order = ["timeline", "update", "followers", "analysis"];
  const rows = order.filter((name) => crawl.jobs[name]).map((name) => ({ name, ...crawl.jobs[name] }));
  const of = (name, field) => ({ name, number: true, cell: (row) => count(row[field]) });
  const columns = [
    { name: "Operation", cell: (row) => h("span", { class: "strong" }, row.name) },
    of("Completed", "completed"),
    of("Gone", "gone"),
    of("Failed", "failed"),
    of("Waited for a budget", "limited"),
    of("Tried again", "retried"),
    of("Tweets, followers or profiles", "items"),
  ];
  return part("Operations", table("Operations of the crawl", columns, rows, (row) => row.name, "It has none"));
}

function about(crawl) {
  const facts = [
    ["Does", crawl.operations],
    ["Source", crawl.source],
    ["Admitted accounts", { default: "go to the frontier", bfs: "join the end of the queue", dfs: "join the front of the queue" }[crawl.traversal] ?? crawl.traversal],
    ["Depth", crawl.depth === null ? "no limit" : count(crawl.depth)],
    ["Follow rule", crawl.follow ? h("code", {}, crawl.follow) : "admits all"],
    ["Priority", count(crawl.priority)],
    ["Discovered", `${count(crawl.discovered)}, of which ${count(crawl.admitted)} were admitted`],
    ["Frontier", count(crawl.frontier)],
    ["Submitted", `${duration(crawl.now_ms - crawl.submitted_at_ms)} ago`],
    ["Named twice in the lists", count(crawl.users.duplicates)],
  ];
  return part("What was asked for", h("dl", {}, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))));
}
