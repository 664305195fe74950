// The whole cluster on one page: what runs, how fast, and what needs somebody.

import { series, spark } from "./chart.js";
import { h } from "./dom.js";
import { count, duration, rate } from "./format.js";
import { badge, end, pace, part, phase, position, progress, reachable, reasons, table, tile } from "./parts.js";

export const topics = ["cluster", "history"];
export const title = () => "Overview";

export function render({ cluster, history }) {
  return [tiles(cluster, history), attention(cluster), crawls(cluster), nodes(cluster)];
}

function tiles(cluster, history) {
  const running = cluster.crawls.filter((c) => ["running", "loading", "paused"].includes(c.phase));
  const sum = (get) => running.reduce((all, crawl) => all + get(crawl), 0);
  const workers = cluster.sessions.reduce((all, session) => all + session.workers, 0);
  const leased = cluster.sessions.reduce((all, session) => all + session.leased, 0);
  const up = cluster.nodes.filter((node) => node.up).length;
  const failed = cluster.crawls.reduce((all, crawl) => all + crawl.users.failed, 0);
  const line = (field, growth) => spark(series(history, field, growth, 60));
  return h(
    "div",
    { class: "tiles", "data-key": "tiles" },
    tile("Accounts", `${rate(sum((c) => c.rates.users))}/s`, `${count(sum((c) => c.users.waiting + c.users.active))} left`, line("users", true)),
    tile("Tweets", `${rate(sum((c) => c.rates.tweets))}/s`, "", line("tweets", true)),
    tile("Followers", `${rate(sum((c) => c.rates.followers))}/s`, "", line("followers", true)),
    tile("Jobs running", count(leased), `of ${count(workers)} workers`, line("leased", false)),
    tile("Jobs delayed", count(sum((c) => c.delayed)), "budgets and retries", line("delayed", false), sum((c) => c.delayed) > 0 && "warning"),
    tile("Failed accounts", count(failed), "to be retried", null, failed > 0 && "trouble"),
    tile("Nodes", `${up} of ${cluster.nodes.length}`, cluster.leader ? `node ${cluster.leader} leads, term ${cluster.term}` : "no leader", null, (up < cluster.nodes.length || !cluster.leader) && "trouble"),
  );
}

/** What needs somebody, of the cluster and of each crawl. */
function attention(cluster) {
  const found = cluster.reasons.map((r) => ({ ...r }));
  for (const crawl of cluster.crawls) {
    // An element of its own for each reason: an element has one place in the page.
    const where = (part) => h("a", { href: `#/crawls/${crawl.id}${part}` }, `crawl ${crawl.id}`);
    for (const reason of crawl.reasons) if (reason.weight !== "info") found.push({ ...reason, where: where("") });
    if (crawl.users.failed > 0) {
      const text = `${count(crawl.users.failed)} ${crawl.users.failed === 1 ? "account has" : "accounts have"} failed`;
      found.push({ weight: "warning", text, where: where("/errors") });
    }
  }
  if (!found.length) return null;
  return part("Needs attention", reasons(found));
}

function crawls(cluster) {
  const columns = [
    { name: "Crawl", kind: "name-cell", cell: (c) => h("a", { class: "strong", href: `#/crawls/${c.id}` }, c.name ? `${c.id} · ${c.name}` : `${c.id}`) },
    { name: "Phase", cell: (c) => phase(c.phase) },
    { name: "Does", cell: (c) => c.operations },
    { name: "Progress", kind: "wide", cell: (c) => [progress(c), h("span", { class: "under" }, position(c))] },
    { name: "Accounts", number: true, cell: pace },
    { name: "Running", number: true, cell: (c) => count(c.leased) },
    { name: "Delayed", number: true, cell: (c) => count(c.delayed) },
    { name: "Failed", number: true, cell: (c) => (c.users.failed ? h("a", { class: "bad", href: `#/crawls/${c.id}/errors` }, count(c.users.failed)) : "0") },
    { name: "Ends", cell: end },
  ];
  const over = (c) => c.phase === "finished" || c.phase === "cancelled";
  const rows = [...cluster.crawls].sort((a, b) => over(a) - over(b) || b.id - a.id);
  const empty = ["No crawl yet. Submit a list of accounts: ", h("code", {}, "twm-ctl submit LIST -T -F")];
  return part("Crawls", table("Crawls, those under way first", columns, rows, (c) => `crawl-${c.id}`, empty));
}

const ROLES = { leader: "info", follower: "quiet", candidate: "warning", learner: "quiet", stopping: "warning" };

function nodes(cluster) {
  const of = (id) => cluster.sessions.findLast((session) => session.node === id);
  const here = (get) => (member) => (member.node ? get(member.node) : "–");
  const work = (get) => (member) => (member.node?.workers ? get(member.node.workers) : "–");
  const columns = [
    { name: "Node", cell: (m) => [h("span", { class: "strong" }, `${m.id}`), m.id === cluster.seen_by && h("span", { class: "under" }, "this page's")] },
    { name: "Address", cell: (m) => (m.address ? m.address : "–") },
    { name: "Part", cell: (m) => [m.up ? badge(m.node.role, ROLES[m.node.role] ?? "quiet") : badge("down", "trouble"), m.drained && badge("drained", "warning"), !m.voter && badge("no vote", "quiet")] },
    { name: "Workers", number: true, cell: work((w) => `${count(w.busy)} of ${count(w.total)}`) },
    { name: "Addresses spent", number: true, cell: work((w) => h("a", { href: "#/addresses" }, `${w.addresses_spent} of ${w.addresses_used}`)) },
    { name: "Requests", number: true, cell: work((w) => count(w.requests)) },
    { name: "Bad answers", number: true, cell: work((w) => count(w.request_errors)) },
    { name: "Applied", number: true, cell: here((n) => count(n.applied)) },
    { name: "Lag", number: true, cell: here((n) => count(n.lag)) },
    { name: "Silent", number: true, cell: (m) => (of(m.id) ? duration(of(m.id).silent_ms) : "no session") },
    { name: "Up", number: true, cell: here((n) => duration(n.uptime_ms)) },
    { name: "Version", cell: here((n) => n.version) },
    { name: "Monitor", cell: work((w) => monitor(w.http)) },
  ];
  return part("Nodes", table("Nodes of the cluster", columns, cluster.nodes, (m) => `node-${m.id}`, "No node is known"));
}

function monitor(address) {
  return reachable(address) ? h("a", { href: `http://${address}/` }, address) : address || "–";
}
