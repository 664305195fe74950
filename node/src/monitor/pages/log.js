// The newest log lines of this node.

import { h } from "./dom.js";
import { count, time } from "./format.js";
import { badge, others, table } from "./parts.js";

export const topics = ["cluster", "log"];
export const title = () => "Log";

const LEVELS = ["error", "warn", "info", "debug", "trace"];
const KINDS = { error: "trouble", warn: "warning", info: "quiet", debug: "quiet", trace: "quiet" };
let least = "trace";
let words = "";
let held = null;

export function render({ cluster, lines, redraw }) {
  const all = held ?? lines;
  const wanted = (line) => LEVELS.indexOf(line.level) <= LEVELS.indexOf(least) && (!words || `${line.target} ${line.text}`.toLowerCase().includes(words));
  const shown = all.filter(wanted).reverse();
  const columns = [
    { name: "Time", kind: "when", cell: (line) => time(line.at_ms) },
    { name: "Level", cell: (line) => badge(line.level, KINDS[line.level]) },
    { name: "Part", cell: (line) => h("code", {}, line.target) },
    { name: "Says", kind: "wide says", cell: (line) => line.text },
  ];
  const hold = () => {
    held = held ? null : [...lines];
    redraw();
  };
  return [
    h(
      "div",
      { class: "head", "data-key": "head" },
      h("h1", {}, `Log of node ${cluster.seen_by}`, h("span", { class: "named" }, `${count(shown.length)} lines`)),
      h(
        "div",
        { class: "buttons" },
        h("label", { for: "least" }, "Level"),
        h("select", { id: "least", onchange: (event) => { least = event.target.value; redraw(); } }, [...LEVELS].reverse().map((level) => h("option", { value: level, selected: level === least }, level === "trace" ? "all" : level === "error" ? "error" : `${level} and worse`))),
        h("label", { for: "words" }, "Has"),
        h("input", { id: "words", type: "search", placeholder: "words", value: words, oninput: (event) => { words = event.target.value.toLowerCase(); redraw(); } }),
        h("button", { type: "button", "aria-pressed": String(held !== null), onclick: hold }, held ? "Go on" : "Hold"),
      ),
    ),
    others(cluster, cluster.seen_by, "#/log", ["Each node has its own log; the ", h("a", { href: "#/stream" }, "stream"), " tells of the whole cluster."]),
    table("Log lines, newest first", columns, shown, (line) => `line-${line.sequence}`, all.length ? "No line is like that" : "Nothing was logged yet"),
  ];
}
