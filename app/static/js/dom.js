/** Short forms of frequent calls. Nothing here takes markup: text is text. */

export const byId = (id) => document.getElementById(id);

/** An element with properties, and children that are elements or text. Attributes come as {attributes: {…}}. */
export function make(tag, { attributes = {}, ...properties } = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Set an element's text only where it changes, so that nothing is read aloud twice. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A number with so many decimals as the page's language writes it, and a true minus. */
export const figure = (value, decimals = 2) => numbers(decimals).format(value).replace("-", "−");

/** Call `change(isInSight)` when an element comes into sight, or nearer than a margin, and when it leaves. */
export function watchSight(element, rootMargin, change) {
  let wasInSight = false;
  const watch = (entries) => {
    const { isIntersecting } = entries.at(-1); // the newest: a busy page gets several at once
    if (isIntersecting === wasInSight) return;
    wasInSight = isIntersecting;
    change(isIntersecting);
  };
  new IntersectionObserver(watch, { rootMargin }).observe(element);
}

const SVG = "http://www.w3.org/2000/svg";

/** A new element of a drawing, with its attributes. */
export function shape(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

const formats = [];

/** The format of numbers with so many decimals; making one takes long, and figures are many. */
function numbers(decimals) {
  const digits = { minimumFractionDigits: decimals, maximumFractionDigits: decimals };
  return (formats[decimals] ??= new Intl.NumberFormat(document.documentElement.lang, digits));
}

/** Colours an element by a value in [-1, 1]: style sheets read the pole and how near it is. */
export function tint(element, value) {
  const clipped = Math.max(-1, Math.min(1, value));
  element.classList.toggle("below", clipped < 0);
  element.style.setProperty("--near", `${Math.round(100 * Math.abs(clipped))}%`);
}
