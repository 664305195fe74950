// The node: questions, and what it tells by itself.

const STATE = { loading: "connecting", live: "live", lost: "disconnected" };
/** Something is told every second, and a connection that ended is back within a second or two: longer is a loss, ms. */
const PATIENCE = 5000;
let source = null;
let watch = null;

/** Asks the node. An error carries what the node says of it. */
export async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, { cache: "no-store", ...options });
  } catch {
    throw new Error("the node does not answer; look whether it runs and whether you reach it");
  }
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  const error = new Error(answer.error ?? `the node answered with HTTP ${response.status}`);
  error.status = response.status;
  throw error;
}

function state(name) {
  const shown = document.getElementById("link");
  if (shown.dataset.state === name) return;
  shown.dataset.state = name;
  shown.textContent = STATE[name];
}

/** Listens to topics: `heard(topic, data)`; `changed(live)` when the connection goes or comes. */
export function listen(topics, after, heard, changed) {
  source?.close();
  clearInterval(watch);
  source = new EventSource(`/api/v1/events?topics=${topics.join(",")}&after=${after}`);
  const mine = source;
  let last = Date.now();
  for (const topic of topics) {
    source.addEventListener(topic, (event) => {
      if (mine !== source) return;
      last = Date.now();
      state("live");
      changed(true);
      heard(topic, JSON.parse(event.data));
    });
  }
  // A node that hangs keeps its connections, and one that refuses is not asked again by the browser.
  watch = setInterval(() => {
    const silent = Date.now() - last;
    if (silent > PATIENCE) {
      state("lost");
      changed(false);
    }
    if (silent > 2 * PATIENCE || source.readyState === EventSource.CLOSED) listen(topics, after, heard, changed);
  }, 1000);
}
