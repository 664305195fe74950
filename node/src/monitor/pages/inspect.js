// What the crawled tweets look like, as the indexer tells it.

import { overTime, share } from "./bars.js";
import { h, say } from "./dom.js";
import { count, minute } from "./format.js";
import { ask } from "./link.js";
import { map } from "./map.js";
import { chartWidth, fail, part } from "./parts.js";

export const topics = ["cluster"];
export const title = () => "Tweets";

let found = null;
let failure = null;
let latest = 0;
let asking = false;
let near = false;

const fields = () => document.getElementById("question")?.elements;

/** Asks for what the form says; of several questions the last one counts. */
async function look(redraw) {
  const mine = ++latest;
  asking = true;
  const parameters = new URLSearchParams();
  for (const name of ["from", "to", "query"]) {
    const value = fields()?.[name].value.trim();
    if (value) parameters.set(name, value);
  }
  redraw();
  try {
    const answer = await ask(`/api/v1/inspect?${parameters}`);
    if (mine !== latest) return;
    [found, failure] = [answer, null];
    say(`${count(answer.total)} tweets`);
  } catch (error) {
    if (mine !== latest) return;
    [found, failure] = [null, error];
  }
  asking = false;
  redraw();
}

export function enter(_, redraw) {
  look(redraw);
}

function form(redraw) {
  const field = (name, label, more) => h("label", { class: `field ${name}` }, h("span", {}, label), h("input", { name, ...more }));
  const submit = (event) => {
    event.preventDefault();
    look(redraw);
  };
  return h(
    "form",
    { id: "question", class: "part question", "data-key": "question", role: "search", onsubmit: submit },
    field("from", "From", { type: "date", min: "1970-01-01", max: "9999-12-31" }),
    field("to", "To, with that day", { type: "date", min: "1970-01-01", max: "9999-12-31" }),
    field("query", "Words, #hashtags, @authors", { type: "search", maxlength: 500, autocomplete: "off", spellcheck: "false" }),
    h("button", { type: "submit", class: "primary" }, asking ? "Looking" : "Look"),
  );
}

/** Looks at the tweets of one hashtag. */
function only(hashtag, redraw) {
  fields().query.value = `#${hashtag}`;
  fields().query.focus();
  look(redraw);
}

function hashtags(redraw) {
  const most = found.hashtags[0]?.tweets ?? 0;
  if (!found.hashtags.length) return part("Hashtags", h("p", { class: "empty" }, "None"));
  const row = (one) =>
    h("li", { "data-key": one.hashtag }, h("button", { type: "button", class: "tag", onclick: () => only(one.hashtag, redraw) }, `#${one.hashtag}`), share(one.tweets, most), h("span", { class: "number" }, `${(100 * one.share).toFixed(one.share < 0.1 ? 2 : 1)} %`), h("span", { class: "number soft" }, count(one.tweets)));
  return part("Hashtags", h("ol", { class: "shares" }, found.hashtags.map(row)));
}

function samples() {
  if (!found.samples.length) return part("Newest tweets", h("p", { class: "empty" }, "None"));
  const row = (tweet) =>
    h(
      "li",
      { "data-key": tweet.id },
      h("p", { class: "tweet", dir: "auto" }, tweet.text),
      h("p", { class: "hint" }, [tweet.screen_name && `@${tweet.screen_name}`, tweet.created_at_ms === null ? "no date" : minute(tweet.created_at_ms), tweet.geo && `at ${tweet.geo.lat}, ${tweet.geo.lon}`, `id ${tweet.id}`].filter(Boolean).join(" · ")),
    );
  return part("Newest tweets", h("ol", { class: "tweets" }, found.samples.map(row)));
}

export function render({ redraw }) {
  const head = h("div", { class: "head", "data-key": "head" }, h("h1", {}, "Tweets", found && h("span", { class: "named" }, `${count(found.total)} found`)));
  if (failure) return [head, form(redraw), fail(failure)];
  if (!found) return [head, form(redraw), h("p", { class: "empty" }, "Loading")];
  const toggle = () => {
    near = !near;
    redraw();
  };
  return [
    head,
    form(redraw),
    h("div", { class: "charts one", "data-key": "time" }, overTime(found.over_time, chartWidth(1))),
    h("div", { class: "charts", "data-key": "shares" }, hashtags(redraw), map(found.places, near, chartWidth(2), toggle)),
    samples(),
  ];
}
