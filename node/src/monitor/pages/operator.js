// Who may act. The token stays in this tab and goes nowhere but to this node.

import { h, say } from "./dom.js";
import { ask } from "./link.js";

const KEY = "twm-token";
const button = document.getElementById("operator");

const token = () => sessionStorage.getItem(KEY);

function draw() {
  button.textContent = token() ? "Stop operating" : "Operate";
}

/** Shows the button of who may act; not where nobody may. */
export function offer(allowed) {
  button.hidden = !allowed;
}

button.onclick = async () => {
  if (!token()) return void (await signIn());
  sessionStorage.removeItem(KEY);
  say("The token is forgotten");
  draw();
};
draw();

/** A dialog; resolves to what `give` says when it is confirmed, else to null. */
function dialog(title, body, confirm, kind, give) {
  return new Promise((resolve) => {
    const close = (value) => {
      box.close();
      box.remove();
      resolve(value);
    };
    const submit = (event) => {
      event.preventDefault();
      close(give());
    };
    const box = h(
      "dialog",
      { "aria-labelledby": "dialog-title" },
      h(
        "form",
        { onsubmit: submit },
        h("h2", { id: "dialog-title" }, title),
        body,
        h(
          "div",
          { class: "buttons" },
          h("button", { type: "button", onclick: () => close(null) }, "Leave it"),
          h("button", { type: "submit", class: kind }, confirm),
        ),
      ),
    );
    box.addEventListener("cancel", () => close(null));
    document.body.append(box);
    box.showModal();
  });
}

async function signIn(complaint) {
  const input = h("input", { type: "password", id: "token", autocomplete: "off", required: true });
  const body = [
    complaint && h("p", { class: "bad", role: "alert" }, complaint),
    h("p", {}, "Pausing, resuming, cancelling and retrying need the node's --monitor-token, or an operator's certificate in the browser. It is kept until this tab is closed."),
    h("label", { for: "token" }, "Token"),
    input,
  ];
  const given = await dialog("Operate the cluster", body, "Use the token", "primary", () => input.value.trim() || null);
  if (given) sessionStorage.setItem(KEY, given);
  draw();
  return given;
}

/** Asks whether to do what cannot be undone. */
export const sure = (title, text, confirm) => dialog(title, h("p", {}, text), confirm, "danger", () => true);

/** Does something; gives the node's answer, or null when nobody wants it any more. */
export async function act(path) {
  let complaint;
  // Over TLS the browser may have shown an operator's certificate.
  let signsIn = location.protocol !== "https:";
  for (;;) {
    const used = token() ?? (signsIn ? await signIn(complaint) : "");
    if (used === null) return null;
    signsIn = true;
    try {
      return await ask(path, { method: "POST", headers: used ? { Authorization: `Bearer ${used}` } : {} });
    } catch (error) {
      if (error.status !== 401) throw error;
      sessionStorage.removeItem(KEY);
      complaint = error.message;
      draw();
    }
  }
}
