// What the workers of this node do now.

import { h } from "./dom.js";
import { count, duration } from "./format.js";
import { others, table } from "./parts.js";

export const topics = ["cluster", "jobs"];
export const title = () => "Jobs";

export function render({ cluster, jobs }) {
  if (!jobs) return [h("h1", {}, "Jobs"), h("p", { class: "empty" }, "Loading")];
  const columns = [
    { name: "Account", cell: (job) => h("span", { class: "strong" }, job.user) },
    { name: "Operation", cell: (job) => job.operation },
    { name: "Crawl", cell: (job) => h("a", { href: `#/crawls/${job.crawl}` }, `${job.crawl}`) },
    { name: "Runs for", number: true, cell: (job) => duration(job.running_ms) },
    { name: "Pages", number: true, cell: (job) => count(job.pages) },
    { name: "Items", number: true, cell: (job) => count(job.items) },
    { name: "Attempt", number: true, cell: (job) => count(job.attempt) },
  ];
  const hidden = jobs.running - jobs.jobs.length;
  return [
    h("div", { class: "head", "data-key": "head" }, h("h1", {}, `Jobs of node ${jobs.node}`, h("span", { class: "named" }, `${count(jobs.running)} of ${count(jobs.workers)} workers`))),
    others(cluster, jobs.node, "#/jobs", ["Each node shows its own workers; the ", h("a", { href: "#/stream" }, "stream"), " tells what all of them do."]),
    table("Running jobs, the longest first", columns, jobs.jobs, (job) => `job-${job.lease}`, "No job runs on this node"),
    hidden > 0 ? h("p", { class: "hint", "data-key": "hidden" }, `${count(hidden)} that have run for less time are not shown`) : null,
  ];
}
