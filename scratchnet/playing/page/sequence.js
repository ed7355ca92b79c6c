// Letters through an LSTM, beside an RNN: gates at every time, and the gradient on its way back.

import { keep } from "./address.js";
import { attempt, counted, h, short } from "./dom.js";
import { showFormula } from "./formula.js";
import { Picture } from "./picture.js";
import { trainUntilPaused } from "./slices.js";
import { throughTime } from "./through_time.js";
import { ask, latest } from "./transport.js";

const WIDTH = 208; // of a gate's picture, in pixels of the screen
const GATES = {
  i: "i, how much of the new is written", f: "f, how much of the old is kept", o: "o, how much of it is shown",
  g: "g, what is new", c: "c = f c + i g, what is remembered", h: "h = o tanh(c), what is seen outside",
};

export class SequenceView {
  constructor(place, start) {
    place.append(document.querySelector("#sequence").content.cloneNode(true));
    this.find = (selector) => place.querySelector(selector);
    this.ask = (action, fields) => ask("sequence", action, fields);
    this.point = latest((message) => attempt(async () => showFormula(this.find(".formula"), await this.ask("formula", message))));
    this.look = latest(() => attempt(async () => {
      const text = this.find(".text").value.toLowerCase(), chosen = this.find(".label").value;
      if (!text) return;
      this.show(await this.ask("see", { text, label: chosen === "" ? null : Number(chosen) }));
      keep({ view: "sequence", text, label: chosen });
    }));
    this.find(".text").addEventListener("input", this.look);
    this.find(".label").addEventListener("change", this.look);
    this.find('[data-do="train"]').addEventListener("click", () => (this.running ? this.stop() : trainUntilPaused(this, (picture) => this.show(picture))));
    this.find('[data-do="new"]').addEventListener("click", () => { this.stop(); attempt(async () => this.show(await this.ask("new", { seed: Math.floor(Math.random() * 1e6) }))); });
    this.ready = this.#begin(start);
  }

  stop() { this.running = false; }

  async #begin(start) {
    const first = await this.ask("open");
    document.querySelector("#about").textContent = "An LSTM and an RNN of eight units each, that learn from the same sequences of 2 to 12 letters";
    this.find(".label").append(h("option", { value: "" }, "the first letter"), ...[...first.letters].map((letter, k) => h("option", { value: k }, letter)));
    this.#build();
    this.find(".text").value = /^[a-d]{1,40}$/.test(start.text ?? "") ? start.text : first.text;
    if (/^[0-3]$/.test(start.label ?? "")) this.find(".label").value = start.label;
    this.show(first);
    await this.look();
  }

  #build() {
    this.gates = Object.fromEntries(Object.entries(GATES).map(([name, about]) => [name, new Picture({
      label: about, width: WIDTH,
      point: (k) => {
        const T = this.picture.text.length;
        this.point({ kind: "lstm", name, t: k % T, unit: Math.floor(k / T) });
      },
    })]));
    this.letters = [];
    this.find(".gates").append(...Object.entries(GATES).map(([name, about]) => {
      const letters = h("p", { class: "letters", "aria-hidden": "true" });
      this.letters.push(letters);
      return h("figure", {}, h("figcaption", {}, about), this.gates[name].element, letters);
    }));
  }

  show(picture) {
    this.picture = picture;
    const { lstm, rnn, text, letters } = picture, T = text.length;
    for (const [name, one] of Object.entries(this.gates)) one.draw(lstm[name], T);
    for (const one of this.letters) one.replaceChildren(...(T > 20 ? [] : [...text].map((letter) => h("span", {}, letter))));
    const row = (name, { p, right }) => h("tr", {}, h("th", { scope: "row" }, name), ...p.map((v) => h("td", {}, v == null ? "–" : v.toFixed(2))),
      h("td", {}, `${(100 * right).toFixed(0)}%`));
    this.find(".answers").replaceChildren(h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "says"),
      ...[...letters].map((letter) => h("th", { scope: "col" }, letter)), h("th", { scope: "col" }, "right"))),
    h("tbody", {}, row("LSTM", lstm), row("RNN", rnn))));
    this.find(".progress").textContent = `${counted(picture.steps, "step")}. C = ${short(lstm.loss)} for the LSTM, ${short(rnn.loss)} for the RNN. “Right” is of 200 other sequences of 12 letters.`;
    throughTime(this.find(".back"), text, [
      { name: "LSTM, ‖∂C/∂c‖", className: "cell-line", sizes: lstm.dc },
      { name: "LSTM, ‖∂C/∂h‖", className: "loss-line", sizes: lstm.dh },
      { name: "RNN, ‖∂C/∂h‖", className: "right-line", sizes: rnn.dh },
    ]);
  }
}
