/** What the service refuses, in the language of the page: a sentence for each type of problem that it names. */

import { text } from "./texts.js";

const SENTENCES = {
  "bad-request": "problem.body",
  "deadline-exceeded": "problem.busy",
  forbidden: "problem.forbidden",
  "head-too-large": "problem.large",
  internal: "problem.internal",
  "invalid-parameter": "problem.parameter",
  "malformed-request": "problem.body",
  "method-not-allowed": "problem.route",
  "not-an-image": "problem.image",
  "not-found": "problem.route",
  "not-ready": "problem.starting",
  "queue-full": "problem.busy",
  "request-timeout": "problem.late",
  "too-large": "problem.large",
  "too-many-requests": "problem.rate",
  unauthorized: "notice.key.needed",
  unavailable: "problem.busy",
  "unknown-model": "problem.model",
  "unknown-version": "problem.model",
  "unsupported-media-type": "problem.image",
};

/** The sentence for a refusal. A gateway before the service names no type; then the status decides. */
export function sentenceFor({ kind, passes }) {
  if (Object.hasOwn(SENTENCES, kind)) return text(SENTENCES[kind]);
  return text(passes ? "problem.busy" : "problem.internal");
}
