// The classes: what the network says of each, and which one it is told to be right.

import { h, short } from "./dom.js";
import { largestOf } from "./scale.js";

export class ClassRows {
  /** label(k) is told the chosen class, null for the network's own; point(what, k) a number. */
  constructor(fieldset, { label, point }) {
    this.fieldset = fieldset; this.point = point;
    this.place = fieldset.querySelector(".rows");
    fieldset.addEventListener("change", (e) => label(e.target.value === "auto" ? null : Number(e.target.value)));
  }

  choose(label) {
    this.wanted = label;
    const input = this.fieldset.querySelector(`[value="${label ?? "auto"}"]`);
    if (input) input.checked = true;
  }

  draw({ classes, p, label, layers }) {
    if (this.names !== classes.join()) this.#build(classes);
    const { delta } = layers.at(-1), largest = largestOf(delta), most = p.indexOf(Math.max(...p));
    classes.forEach((_, k) => {
      const row = this.rows[k];
      row.element.classList.toggle("most", k === most);
      row.element.classList.toggle("right", k === label);
      row.bar.style.width = `${100 * (p[k] ?? 0)}%`;
      row.p.textContent = (p[k] ?? NaN).toFixed(3);
      const size = largest ? (100 * Math.abs(delta[k] ?? 0)) / largest : 0;
      row.back.style.width = `${size}%`;
      row.back.className = delta[k] < 0 ? "minus" : "plus";
      row.delta.textContent = short(delta[k]);
    });
  }

  #build(classes) {
    this.names = classes.join();
    const number = (what, k, words) => h("button", {
      type: "button", class: "number value", "aria-label": words,
      onpointerenter: () => this.point(what, k), onfocus: () => this.point(what, k), onclick: () => this.point(what, k),
    });
    this.rows = classes.map((name, k) => {
      const row = { bar: h("i"), back: h("i"), p: number("probability", k, `probability of ${name}`), delta: number("delta", k, `delta of ${name}`) };
      row.p.removeAttribute("aria-label"); row.delta.removeAttribute("aria-label");
      row.element = h("div", { class: "row" },
        h("label", {}, h("input", { type: "radio", name: "label", value: k }), name),
        h("span", { class: "bar p" }, row.bar), row.p,
        h("span", { class: "bar signed" }, row.back), row.delta);
      return row;
    });
    this.place.replaceChildren(
      h("div", { class: "row head" }, h("span"), h("span", {}, "probability"), h("span"), h("span", {}, "δ"), h("span")),
      ...this.rows.map((row) => row.element));
    if (this.wanted != null) this.choose(this.wanted);
  }
}
