// The node: questions, and what it tells by itself.

const STATE = { loading: "connecting", live: "live", lost: "disconnected" };
let source = null;

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
  source = new EventSource(`/api/v1/events?topics=${topics.join(",")}&after=${after}`);
  const mine = source;
  for (const topic of topics) {
    source.addEventListener(topic, (event) => {
      if (mine !== source) return;
      state("live");
      changed(true);
      heard(topic, JSON.parse(event.data));
    });
  }
  source.onerror = () => {
    if (mine !== source) return;
    state("lost");
    changed(false);
    // The browser comes back by itself after a lost connection, and gives up after an answer that is an error.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => mine === source && listen(topics, after, heard, changed), 2000);
  };
}
