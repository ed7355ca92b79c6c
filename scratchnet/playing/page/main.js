// The page: its tabs, each a view of its own, and the situation in the address.

import { situation } from "./address.js";
import { DigitsView } from "./digits.js";
import { attempt, h } from "./dom.js";
import { PlaneView } from "./plane.js";
import { SequenceView } from "./sequence.js";
import { open } from "./transport.js";

const VIEWS = {
  digits: { title: "Digits", make: (place, start) => new DigitsView(place, "digits", start) },
  plane: { title: "Two dimensions", make: (place, start) => new PlaneView(place, start) },
  convolution: { title: "Convolution", make: (place, start) => new DigitsView(place, "convolution", start) },
  sequence: { title: "Recurrence", make: (place, start) => new SequenceView(place, start) },
};

let shown = null;

/** Show a view; `start` is the situation to begin with. */
async function show(name, start) {
  shown?.stop();
  for (const tab of document.querySelectorAll("#tabs button")) {
    if (tab.dataset.view === name) tab.setAttribute("aria-current", "page"); else tab.removeAttribute("aria-current");
  }
  const place = document.querySelector("#view");
  place.replaceChildren();
  document.body.dataset.ready = "";
  shown = VIEWS[name].make(place, start);
  await attempt(() => shown.ready);
  document.body.dataset.ready = name;
}

document.querySelector("#tabs").append(...Object.entries(VIEWS).map(([name, { title }]) =>
  h("button", { "data-view": name, onclick: () => show(name, {}) }, title)));

if (await attempt(async () => { await open(); return true; })) {
  const start = situation();
  await show(Object.hasOwn(VIEWS, start.view) ? start.view : "digits", start);
}
