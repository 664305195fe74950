// What the workers of this node do now.

import { h } from "./dom.js";
import { count, duration } from "./format.js";
import { reachable, table } from "./parts.js";

export const topics = ["cluster", "jobs"];
export const title = () => "Jobs";

export function render({ cluster, jobs }) {
  if (!jobs) return [h("h1", {}, "Jobs"), h("p", { class: "empty" }, "Loading")];
  const others = cluster.nodes.filter((member) => member.id !== jobs.node && reachable(member.node?.workers?.http ?? ""));
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
    others.length ? h("p", { class: "hint", "data-key": "others" }, "Each node shows its own workers. Others: ", others.map((m) => [h("a", { href: `http://${m.node.workers.http}/#/jobs` }, `node ${m.id}`), " "])) : null,
    table("Running jobs, the longest first", columns, jobs.jobs, (job) => `job-${job.lease}`, "No job runs on this node"),
    hidden > 0 ? h("p", { class: "hint", "data-key": "hidden" }, `${count(hidden)} that have run for less time are not shown`) : null,
  ];
}
