/** What the page asks the service, as code that can be pasted as it is: for a shell, in Python and in JavaScript. */

import { address, hasKey } from "./api.js";
import { text } from "./texts.js";

export const LANGUAGES = { curl: "curl", python: "Python", javascript: "JavaScript" };

const WRITERS = { curl, python, javascript };

/** The code for a state in one of the languages, as [{title, text}]. The image stands in it as the network saw it. */
export function codeFor(language, values) {
  return callsFor(values).map((call) => ({ title: text(call.title), text: WRITERS[language](call) }));
}

/** The calls for a state: {title, path, query, png (base64) or json, field (of the answer) or file (a PNG)}. */
function callsFor({ card, seen, chosen, pose }) {
  const label = card.classes[chosen];
  const query = { model: card.name, preprocess: "none" };
  const moved = (pose ?? seen.poses[chosen]).map((value) => Number(value.toFixed(4)));
  return [
    { title: "code.classify", path: "classify", query, png: seen.file, field: "predictions" },
    { title: "code.reconstruct", path: "reconstruct", query: { ...query, label }, png: seen.file, field: "capsule" },
    { title: "code.decode", path: "decode", json: { model: card.name, label, pose: moved }, file: "drawn.png" },
    { title: "code.sweep", path: "sweep", query: { ...query, label }, png: seen.file, file: "pose-sheet.png" },
  ];
}

const typeOf = ({ png }) => (png ? "image/png" : "application/json");

function curl({ path, query, png, json, file }) {
  const key = hasKey() ? ' -H "Authorization: Bearer $CAPSNET_KEY"' : "";
  const options = `-H 'Content-Type: ${typeOf({ png })}'${key}${file ? ` -H 'Accept: image/png' -o ${file}` : ""}`;
  const url = quoted(address(path, query));
  if (png) return `echo ${png} | base64 -d |\n  curl -s --data-binary @- ${options} ${url}`;
  return `curl -s ${options} \\\n  -d ${quoted(JSON.stringify(json))} ${url}`;
}

/** A text as one word of a shell. */
const quoted = (words) => `'${String(words).replaceAll("'", "'\\''")}'`;

function python({ path, query, png, json, field, file }) {
  const key = hasKey() ? '    "Authorization": f"Bearer {os.environ[\'CAPSNET_KEY\']}",\n' : "";
  const accept = file ? '    "Accept": "image/png",\n' : "";
  const modules = [png ? "base64" : "json", file ? "pathlib" : "json", key ? "os" : "", "urllib.request"];
  return `${[...new Set(modules.filter(Boolean))].map((name) => `import ${name}\n`).join("")}
${png ? `body = base64.b64decode("${png}")` : `body = json.dumps(${JSON.stringify(json)}).encode()`}
headers = {
    "Content-Type": "${typeOf({ png })}",
${accept}${key}}
request = urllib.request.Request(${JSON.stringify(String(address(path, query)))}, body, headers)
with urllib.request.urlopen(request) as response:
    ${file ? `pathlib.Path("${file}").write_bytes(response.read())` : `print(json.load(response)["${field}"])`}`;
}

function javascript({ path, query, png, json, field, file }) {
  const key = hasKey() ? ', Authorization: `Bearer ${CAPSNET_KEY}`' : "";
  const accept = file ? ', Accept: "image/png"' : "";
  const body = png
    ? `Uint8Array.from(atob("${png}"), (character) => character.charCodeAt(0))`
    : `JSON.stringify(${JSON.stringify(json)})`;
  return `const response = await fetch(${JSON.stringify(String(address(path, query)))}, {
  method: "POST",
  headers: { "Content-Type": "${typeOf({ png })}"${accept}${key} },
  body: ${body},
});
${file ? "const image = URL.createObjectURL(await response.blob());\nconsole.log(image);" : `console.log((await response.json()).${field});`}`;
}
