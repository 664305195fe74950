// The job stream: what happens in the whole cluster, live.

import { h } from "./dom.js";
import { count, duration, time } from "./format.js";
import { badge, table } from "./parts.js";

export const topics = ["cluster", "stream"];
export const title = () => "Stream";

const MOST = 500;
const TROUBLE = ["failed", "retried", "gone", "returned", "session-lost"];
const KINDS = { failed: "trouble", "session-lost": "trouble", retried: "warning", gone: "warning", limited: "warning", returned: "warning", completed: "good", ended: "good", finished: "good", granted: "info" };
/** What is shown: a name, and whether an event is of it. */
const SHOWN = {
  all: ["everything", () => true],
  results: ["without grants and steps", (event) => !["granted", "progressed", "discovered", "fetched"].includes(event.type)],
  trouble: ["trouble", (event) => TROUBLE.includes(event.type)],
  cluster: ["crawls and nodes", (event) => !event.job],
};

let events = [];
let missed = 0;
let kind = "all";
let words = "";
let held = null;

export function heard(topic, data) {
  if (topic !== "stream") return;
  const known = new Set(events.map((event) => event.id));
  const fresh = data.events.filter((event) => !known.has(event.id));
  missed = data.missed;
  events = [...events, ...fresh].slice(-MOST);
}

/** What an event has to say beside account, operation and crawl. */
function details(event) {
  return [
    event.type !== "granted" && event.node !== undefined && `node ${event.node}`,
    event.type === "granted" && `to node ${event.node}${event.attempt > 1 ? `, attempt ${event.attempt}` : ""}`,
    event.items !== undefined && `${count(event.items)} items`,
    event.admitted !== undefined && `${count(event.admitted)} admitted, ${count(event.discarded)} not`,
    event.accepted !== undefined && `${count(event.accepted)} accepted, ${count(event.duplicates)} known`,
    event.accounts !== undefined && `${count(event.accounts)} accounts`,
    event.name,
    event.state,
    event.reason,
    event.after_ms !== undefined && `continues in ${duration(event.after_ms)}`,
    event.term !== undefined && `term ${event.term}`,
  ].filter(Boolean).join(", ");
}

export function render({ cluster, redraw }) {
  const all = held ?? events;
  const wanted = (event) => SHOWN[kind][1](event) && (!words || `${event.type} ${event.user ?? ""} ${event.operation ?? ""} ${details(event)}`.toLowerCase().includes(words));
  const shown = all.filter(wanted).reverse();
  const columns = [
    { name: "Time", kind: "when", cell: (event) => time(event.at_ms) },
    { name: "What", cell: (event) => badge(event.type.replace("-", " "), KINDS[event.type] ?? "quiet") },
    { name: "Account", cell: (event) => (event.user ? h("span", { class: "strong" }, event.user) : "–") },
    { name: "Operation", cell: (event) => event.operation ?? "–" },
    { name: "Crawl", cell: (event) => (event.crawl ? h("a", { href: `#/crawls/${event.crawl}` }, `${event.crawl}`) : "–") },
    { name: "Details", kind: "wide says", cell: details },
  ];
  const hold = () => {
    held = held ? null : [...events];
    redraw();
  };
  const option = (name) => h("option", { value: name, selected: name === kind }, SHOWN[name][0]);
  return [
    h(
      "div",
      { class: "head", "data-key": "head" },
      h("h1", {}, `Stream of cluster ${cluster.cluster}`, h("span", { class: "named" }, `${count(shown.length)} events`)),
      h(
        "div",
        { class: "buttons" },
        h("label", { for: "kind" }, "Show"),
        h("select", { id: "kind", onchange: (event) => { kind = event.target.value; redraw(); } }, Object.keys(SHOWN).map(option)),
        h("label", { for: "words" }, "Has"),
        h("input", { id: "words", type: "search", placeholder: "words", value: words, oninput: (event) => { words = event.target.value.toLowerCase(); redraw(); } }),
        h("button", { type: "button", "aria-pressed": String(held !== null), onclick: hold }, held ? "Go on" : "Hold"),
      ),
    ),
    h("p", { class: "hint", "data-key": "hint" }, "What happens in the whole cluster since a page like this is open on this node. ", missed > 0 ? `More happens than can be shown: ${count(missed)} events of the last second are left out.` : ""),
    table("Events, newest first", columns, shown, (event) => `event-${event.id}`, all.length ? "No event is like that" : "Nothing has happened since"),
  ];
}
