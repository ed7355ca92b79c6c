// The window behind one cell of a feature map: input ⊙ kernel, and their sum.

import { h, short } from "./dom.js";
import { Picture } from "./picture.js";

export function showWindow(place, found) {
  const [channels, , columns] = found.shape, cells = found.input.length / channels;
  const shown = Math.min(channels, 8);
  const row = (values, label) => h("figure", {}, h("div", { class: "maps" }, ...Array.from({ length: shown }, (_, c) =>
    new Picture({ label: `${label}, channel ${c}`, width: 50 }).draw(values.slice(c * cells, (c + 1) * cells), columns).element)),
  h("figcaption", {}, label));
  const parts = found.kind === "pool"
    ? [row(found.input, "window"), h("p", {}, `the largest: ${short(found.sum)}`)]
    : [row(found.input, "window of the input"), row(found.kernel, "kernel"), row(found.products, "their products"),
      h("p", {}, `sum of the products + ${short(found.bias)} = ${short(found.sum)}`)];
  place.querySelector(".more")?.remove();
  place.querySelector("table")?.replaceWith(h("div", { class: "window pictures" }, ...parts));
}
