// Elements in one line: h("button", {class: "strong", onclick: f}, "Train").

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

/** Like h, for the elements of SVG. */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** A number to read: four digits, or an exponent. */
export function short(value) {
  if (value == null) return "not finite";
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 0.001 && size < 100000 ? String(Number(value.toPrecision(4))) : value.toExponential(1);
}

/** "1 step", "2 steps" */
export const counted = (n, what) => `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;

/** Tell the reader something, at the top of the page; "" takes it away. */
export function say(text) {
  document.querySelector("#status").textContent = text;
}

// A message stays until the reader does something else: answers that the page asks for by
// itself, as a new explanation of a number, must not take it away unread.
for (const act of ["pointerdown", "keydown", "input"]) {
  document.addEventListener(act, () => say(""), { capture: true });
}

/** Run f; what goes wrong is said at the top of the page. */
export async function attempt(f) {
  try { return await f(); } catch (error) { say(error.message); return null; }
}
