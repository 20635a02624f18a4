/** The commands that ask the service what the page asks it. They can be pasted as they are. */

import { address, hasKey } from "./api.js";
import { text as words } from "./texts.js";

/** Commands for a state, as [{title, text}]. The picture stands in them as the network saw it. */
export function commandsFor({ card, seen, chosen, pose }) {
  const label = card.classes[chosen];
  const query = { model: card.name, preprocess: "none" };
  const commands = [
    { title: words("curl.classify"), text: send(seen.file, "classify", query) },
    { title: words("curl.reconstruct"), text: send(seen.file, "reconstruct", { ...query, label }) },
    { title: words("curl.sweep"), text: send(seen.file, "sweep", { ...query, label }, " -H 'Accept: image/png' -o sheet.png") },
  ];
  const body = { model: card.name, label, pose: (pose ?? seen.poses[chosen]).map((value) => Number(value.toFixed(4))) };
  commands.splice(2, 0, { title: words("curl.decode"), text: decode(body) });
  return commands;
}

const key = () => (hasKey() ? ' -H "Authorization: Bearer $CAPSNET_KEY"' : "");

function send(file, path, query, more = "") {
  const options = `--data-binary @- -H 'Content-Type: image/png'${key()}${more}`;
  return `echo ${file} | base64 -d |\n  curl -s ${options} ${quoted(address(path, query))}`;
}

function decode(body) {
  const options = `-H 'Content-Type: application/json' -H 'Accept: image/png'${key()} -o drawn.png`;
  return `curl -s ${options} \\\n  -d ${quoted(JSON.stringify(body))} ${quoted(address("decode"))}`;
}

/** A text as one word of a shell. */
const quoted = (text) => `'${String(text).replaceAll("'", "'\\''")}'`;
