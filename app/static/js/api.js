/** The service's routes, as functions. Errors are of three kinds: refused, gone, or superseded (AbortError). */

const LARGE_BYTES = 32_000; // bytes from which the way up is worth showing
const KEY_PLACE = "capsnet-api-key";

/**
 * The server answered, but not with what was asked for. `kind` is the last part of the problem's type, and the message its
 * detail, in English; `retryAfter` is in seconds, where the server named it.
 */
export class Refusal extends Error {
  constructor(status, { kind, detail, retryAfter }) {
    super(detail);
    this.status = status;
    this.kind = kind;
    this.retryAfter = retryAfter;
  }

  /** Worth asking the same again: busy, over the rate, not ready, or a gateway without a server behind it. */
  get passes() {
    return [429, 502, 503, 504].includes(this.status);
  }
}

/** No answer came at all. */
export class Gone extends Error {}

let key = "";
try {
  key = sessionStorage.getItem(KEY_PLACE) ?? "";
} catch {
  // Storage may be forbidden; the key then lasts as long as the page.
}

/** The key that is sent with every request; it stays in this tab. */
export function setKey(value) {
  key = value.trim();
  try {
    sessionStorage.setItem(KEY_PLACE, key);
  } catch {
    // As above.
  }
}

export const hasKey = () => key !== "";

/** Take a key that the address brings, as that of a class does (`#key=…`), out of the address; tell whether it did. */
export function takeKeyFromAddress() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const brought = parts.get("key");
  if (!brought) return false;
  setKey(brought);
  parts.delete("key");
  const rest = String(parts) ? `#${parts}` : "";
  history.replaceState(history.state, "", `${location.pathname}${location.search}${rest}`);
  return true;
}

takeKeyFromAddress();

/** The address of a route, wherever the page is mounted. */
export function address(path, query = {}) {
  const url = new URL(path, document.baseURI);
  url.hash = "";
  url.search = new URLSearchParams(query);
  return url;
}

export const listModels = (signal) => ask("models", { signal });

/** The strip of images that lies beside a model's card, as a Blob. */
export const samplesOf = (model, signal) =>
  ask(`models/${encodeURIComponent(model)}/samples.png`, { signal }, (response) => response.blob());

/** `progress(share)` is called while a large image goes up, with how much of it is sent. */
export const classify = (image, query, signal, progress) => post("classify", image, query, signal, progress);

export const read = (image, query, signal) => post("read", image, query, signal);

export const sweep = (image, query, signal) => post("sweep", image, query, signal);

export const transform = (image, query, signal) => post("transform", image, query, signal);

export const explain = (image, query, signal) => post("explain", image, query, signal);

/** Draw poses [N][D] with their labels [N]; gives base64 PNGs [N]. */
export async function decode(model, labels, poses, signal) {
  const body = JSON.stringify({ model, labels, poses });
  const headers = { "Content-Type": "application/json" };
  return (await ask("decode", { method: "POST", body, headers, signal })).images;
}

/** Where other devices find this page: {url, qr}, both null if nowhere. */
export const classroom = (signal) => ask("classroom", { signal });

function post(path, image, query, signal, progress) {
  // Always as bytes of an unknown kind: the service looks at them, and says more than "wrong type" of a file that is no image.
  const headers = { "Content-Type": "application/octet-stream" };
  return ask(path, { method: "POST", body: image, headers, query, signal, progress });
}

async function ask(path, { query, progress, headers = {}, ...options }, read = (response) => response.json()) {
  const credentials = key ? { Authorization: `Bearer ${key}` } : {};
  // Such as a hyphen that a text program put there: no header holds it, and no key has it.
  if (/[^!-~]/.test(key)) throw new Refusal(401, { kind: "unauthorized", detail: "a key has visible signs of ASCII alone" });
  try {
    const send = progress && options.body.size >= LARGE_BYTES ? upload : fetch;
    const response = await send(address(path, query), { ...options, headers: { ...headers, ...credentials } }, progress);
    if (!response.ok) throw await refusal(response);
    return await read(response);
  } catch (error) {
    if (error instanceof Refusal || error.name === "AbortError") throw error;
    throw new Gone(error.message);
  }
}

/** As `fetch`, and it says how much of the body is sent, which `fetch` cannot. */
function upload(url, { method, body, headers, signal }, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, url);
    request.responseType = "blob";
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded, total }) => progress(loaded / total);
    request.onload = () => resolve(responseOf(request));
    request.onerror = () => reject(new TypeError("the connection failed"));
    signal.addEventListener("abort", () => {
      request.abort();
      reject(signal.reason);
    });
    request.send(body);
  });
}

function responseOf(request) {
  const headers = new Headers();
  const seconds = request.getResponseHeader("Retry-After");
  if (seconds) headers.set("Retry-After", seconds);
  return new Response(request.response, { status: request.status, statusText: request.statusText, headers });
}

async function refusal(response) {
  const problem = await response.json().catch(() => ({}));
  const detail = problem.detail ?? `the server answered ${response.status} ${response.statusText}`;
  const seconds = Number.parseFloat(response.headers.get("Retry-After"));
  const kind = String(problem.type ?? "").split(":").at(-1);
  return new Refusal(response.status, { kind, detail, retryAfter: Number.isFinite(seconds) ? seconds : null });
}
