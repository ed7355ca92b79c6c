// The formula of a number, with its numbers, and the code of the engine that computed it.

import { h, short } from "./dom.js";

export function showFormula(place, formula) {
  const rows = formula.terms.map(({ factors, value }) =>
    h("tr", {}, h("td", {}, factors.map(([letter]) => letter).join(" · ")),
      h("td", {}, factors.map(([, v]) => short(v)).join(" · ")), h("td", {}, short(value))));
  const hidden = formula.count - formula.terms.length;
  place.replaceChildren(...[
    h("p", { class: "equation" }, h("span", { class: "badge" }, formula.name), formula.equation),
    h("p", { class: "numbers" }, formula.numbers),
    formula.note ? h("p", { class: "quiet" }, formula.note) : null,
    h("table", {}, h("tbody", {}, ...rows)),
    hidden > 0 ? h("p", { class: "quiet more" }, `These are its largest terms; ${hidden} more are not shown.`) : null,
    formula.code ? h("p", { class: "quiet source" }, `${formula.file}, line ${formula.line}:`) : null,
    formula.code ? h("pre", { tabindex: 0, "aria-label": "Code of the engine" }, formula.code) : null,
  ].filter(Boolean));
}
