// Which page is shown, and what it is fed with.

import * as accounts from "./accounts.js";
import * as addresses from "./addresses.js";
import * as crawl from "./crawl.js";
import { h, say, show } from "./dom.js";
import * as historyPage from "./history.js";
import * as inspect from "./inspect.js";
import * as jobs from "./jobs.js";
import { ask, listen } from "./link.js";
import * as log from "./log.js";
import { offer } from "./operator.js";
import * as overview from "./overview.js";
import { fail } from "./parts.js";
import * as stream from "./stream.js";

const MOST_POINTS = 1800;
const MOST_LINES = 500;

const ROUTES = [
  [/^\/?$/, () => [overview, {}]],
  [/^\/crawls\/(\d+)$/, (id) => [crawl, { id }]],
  [/^\/crawls\/(\d+)\/(errors|gone)$/, (id, list) => [accounts, { id, list }]],
  [/^\/jobs$/, () => [jobs, {}]],
  [/^\/stream$/, () => [stream, {}]],
  [/^\/addresses$/, () => [addresses, {}]],
  [/^\/history$/, () => [historyPage, {}]],
  [/^\/inspect$/, () => [inspect, {}]],
  [/^\/log$/, () => [log, {}]],
];

const main = document.getElementById("main");
const banner = document.getElementById("banner");
const store = { cluster: null, jobs: null, history: { fields: ["at_ms"], points: [] }, lines: [], redraw };
let page = overview;
let params = {};
let live = null;

function redraw() {
  if (!store.cluster) return;
  let parts;
  try {
    parts = page.render(store, params);
  } catch (error) {
    parts = [fail(error)];
  }
  show(main, parts);
}

function route() {
  const path = location.hash.replace(/^#/, "");
  const found = ROUTES.map(([like, to]) => [path.match(like), to]).find(([match]) => match);
  if (!found) return void (location.hash = "#/");
  const [match, to] = found;
  [page, params] = to(...match.slice(1));
  document.title = `${page.title(params)} · twm`;
  for (const link of document.querySelectorAll("nav a")) {
    const here = link.hash === (path.startsWith("/crawls") || !path ? "#/" : `#${path}`);
    here ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  }
  main.replaceChildren(h("p", { class: "empty" }, "Loading"));
  page.enter?.(params, redraw);
  // The history continues while other pages are shown.
  listen([...new Set([...page.topics, "history"])], store.lines.at(-1)?.sequence ?? 0, heard, connected);
  redraw();
}

function heard(topic, data) {
  if (topic === "cluster") cluster(data);
  if (topic === "jobs") store.jobs = data;
  if (topic === "history") point(data.point);
  if (topic === "log") lines(data.lines);
  page.heard?.(topic, data, params, redraw);
  // What comes together is drawn once.
  cancelAnimationFrame(heard.frame);
  heard.frame = requestAnimationFrame(redraw);
}

function cluster(data) {
  for (const now of data.crawls) {
    const before = store.cluster?.crawls.find((c) => c.id === now.id);
    if (before && before.phase !== now.phase) say(`Crawl ${now.id} is ${now.phase}`);
  }
  store.cluster = data;
  document.getElementById("cluster").textContent = `cluster ${data.cluster}`;
  offer(data.actions);
  warn();
}

/** A connection that came back may tell lines again; a node that was started again counts from 1. */
function lines(told) {
  const last = store.lines.at(-1)?.sequence ?? 0;
  const again = told.at(-1).sequence < last;
  const fresh = again ? told : told.filter((line) => line.sequence > last);
  store.lines = [...(again ? [] : store.lines), ...fresh].slice(-MOST_LINES);
}

function point(values) {
  if (!values || values[0] === store.history.points.at(-1)?.[0]) return;
  store.history.points = [...store.history.points, values].slice(-MOST_POINTS);
}

function connected(now) {
  if (live === now) return;
  if (live !== null) say(now ? "Connected again" : "Disconnected");
  // What came while nobody listened.
  if (now && live === false) past();
  live = now;
  warn();
}

/** What makes all else on the page doubtful. */
function warn() {
  const leaderless = store.cluster?.reasons.find((reason) => reason.kind === "no-leader");
  const text = live === false ? "Disconnected from the node: what is shown is old. Trying again." : leaderless ? leaderless.text : "";
  banner.hidden = !text;
  if (banner.textContent !== text) banner.textContent = text;
}

async function past() {
  try {
    store.history = await ask("/api/v1/history");
    if (!store.cluster) cluster(await ask("/api/v1/cluster"));
    redraw();
  } catch (error) {
    if (!store.cluster) show(main, fail(error));
  }
}

const theme = document.getElementById("theme");
const THEMES = ["system", "light", "dark"];
function draw() {
  const chosen = document.documentElement.dataset.theme ?? "system";
  theme.textContent = { system: "Auto", light: "Light", dark: "Dark" }[chosen];
  theme.setAttribute("aria-label", `Colours: ${chosen}. Change`);
}
theme.onclick = () => {
  const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme ?? "system") + 1) % THEMES.length];
  if (next === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  localStorage.setItem("theme", next);
  draw();
};

draw();
addEventListener("hashchange", () => {
  route();
  main.focus({ preventScroll: true });
  scrollTo(0, 0);
});
addEventListener("resize", redraw);
past();
route();
