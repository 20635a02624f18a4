/** One line at the top of the page for what stands between a question and its answer. Never a blank page. */

import { Gone, Refusal, hasKey, setKey } from "./api.js";
import { byId, say } from "./dom.js";

const troubles = new Map(); // channel -> {text, kind}, oldest first
let onKey = () => {};

/** A reporter for `Latest`, under the name of the question. */
export function reporter(channel, { refused = () => {} } = {}) {
  return {
    slow: () => trouble(channel, "slow", "The server takes its time. What you see is its last answer."),
    well: () => settle(channel),
    failed(error, wait) {
      const { kind, text } = explain(error);
      trouble(channel, kind, wait === null ? text : `${text} Trying again${wait > 2 ? ` in ${Math.ceil(wait)} s` : ""}…`);
      if (kind === "refused") refused(error);
    },
  };
}

/** Call `retry` when a key was given. */
export function whenKeyIsGiven(retry) {
  onKey = retry;
}

/** Say something that needs no answer from the server. */
export const mention = (text) => trouble("page", "refused", text);

export const dismiss = () => settle("page");

function explain(error) {
  if (error instanceof Gone) {
    return { kind: "gone", text: "The server does not answer. What you see is its last answer." };
  }
  if (!(error instanceof Refusal)) {
    console.error(error);
    return { kind: "refused", text: `Something in this page failed (${error.message}). Reload it.` };
  }
  if (error.status === 401) {
    return { kind: "key", text: hasKey() ? "The server does not take this key." : "This server asks for an API key." };
  }
  if (error.passes) return { kind: "busy", text: `The server is busy: ${error.message}.` };
  return { kind: "refused", text: sentence(error.message) };
}

const sentence = (text) => `${text.slice(0, 1).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;

function trouble(channel, kind, text) {
  troubles.delete(channel);
  troubles.set(channel, { kind, text });
  show();
}

function settle(channel) {
  if (troubles.delete(channel)) show();
}

function show() {
  const { kind, text } = [...troubles.values()].at(-1) ?? { kind: "", text: "" };
  const notice = byId("notice");
  notice.hidden = !kind;
  notice.dataset.kind = kind;
  document.body.classList.toggle("stale", ["slow", "gone", "busy", "key"].includes(kind));
  say(byId("notice-text"), text);
  byId("key-form").hidden = kind !== "key";
  byId("notice-close").hidden = kind !== "refused";
}

byId("notice-close").addEventListener("click", () => {
  troubles.clear();
  show();
});

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  setKey(byId("key").value);
  byId("key").value = "";
  troubles.clear();
  show();
  onKey();
});

window.addEventListener("error", (event) => mention(`Something in this page failed (${event.message}). Reload it.`));
window.addEventListener("unhandledrejection", ({ reason }) =>
  mention(`Something in this page failed (${reason?.message ?? reason}). Reload it.`),
);
