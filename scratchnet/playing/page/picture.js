// A picture of numbers: one cell for each. Point at a cell, or go there with the arrow keys.

import { h, short } from "./dom.js";
import { ink, largestOf, signed } from "./scale.js";

export class Picture {
  /**
   * label: what the numbers are; width: of the picture in pixels of the screen;
   * point(cell) is told where the reader points, choose(cell) where they click or press Enter.
   */
  constructor({ label, width, kind = "signed", point, choose, hint = "" }) {
    this.kind = kind; this.width = width; this.label = label; this.point = point; this.choose = choose;
    this.canvas = h("canvas", { tabindex: 0, role: "application", "aria-label": `${label}. ${hint}Arrow keys move from number to number.` });
    this.mark = h("span", { class: "cell", hidden: true });
    this.element = h("div", { class: "picture" }, this.canvas, this.mark);
    this.at = 0;
    this.canvas.addEventListener("pointermove", (e) => this.#go(this.#cellAt(e)));
    this.canvas.addEventListener("pointerleave", () => { if (document.activeElement !== this.canvas) this.mark.hidden = true; });
    this.canvas.addEventListener("click", (e) => { this.#go(this.#cellAt(e)); this.choose?.(this.at); });
    this.canvas.addEventListener("focus", () => { if (this.canvas.matches(":focus-visible")) this.#go(this.at); });
    this.canvas.addEventListener("blur", () => { this.mark.hidden = true; });
    this.canvas.addEventListener("keydown", (e) => this.#key(e));
    document.addEventListener("colours", () => this.values && this.draw(this.values, this.columns));
  }

  draw(values, columns) {
    this.values = values; this.columns = columns; this.rows = Math.ceil(values.length / columns);
    const { canvas } = this, size = this.width / columns;
    if (canvas.width !== columns || canvas.height !== this.rows) {
      canvas.width = columns; canvas.height = this.rows;
      canvas.style.width = `${columns * size}px`; canvas.style.aspectRatio = `${columns} / ${this.rows}`;
    }
    const context = canvas.getContext("2d"), image = context.createImageData(columns, this.rows);
    const largest = largestOf(values);
    values.forEach((value, k) => {
      const colour = this.kind === "ink" ? ink(value) : signed(value ?? 0, largest);
      image.data.set([...colour, 255], 4 * k);
    });
    context.putImageData(image, 0, 0);
    canvas.title = `${this.label}: from ${short(Math.min(...values))} to ${short(Math.max(...values))}`;
    return this;
  }

  /** Frame a rectangle of cells, or with nothing, none. */
  frame(row, column, rows = 1, columns = 1) {
    this.mark.hidden = row == null;
    if (row == null) return;
    const part = (n, of) => `${(100 * n) / of}%`;
    Object.assign(this.mark.style, {
      left: part(column, this.columns), top: part(row, this.rows),
      width: part(columns, this.columns), height: part(rows, this.rows),
    });
  }

  /** Ring one cell for good, beside the frame that follows the pointer; null: none. */
  ring(cell) {
    this.ringed ??= this.element.appendChild(h("span", { class: "ring" }));
    this.ringed.hidden = cell == null;
    if (cell == null) return;
    const part = (n, of) => `${(100 * n) / of}%`;
    Object.assign(this.ringed.style, {
      left: part(cell % this.columns, this.columns), top: part(Math.floor(cell / this.columns), this.rows),
      width: part(1, this.columns), height: part(1, this.rows),
    });
  }

  #go(cell) {
    if (!this.values || cell < 0 || cell >= this.values.length) return;
    const moved = cell !== this.at || this.mark.hidden;
    this.at = cell;
    this.frame(Math.floor(cell / this.columns), cell % this.columns);
    if (moved) this.point?.(cell);
  }

  #cellAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left) / box.width) * this.columns);
    const row = Math.floor(((event.clientY - box.top) / box.height) * this.rows);
    return Math.min(this.rows - 1, Math.max(0, row)) * this.columns + Math.min(this.columns - 1, Math.max(0, column));
  }

  #key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns }[event.key];
    if (step) { event.preventDefault(); this.#go(this.at + step); }
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); this.choose?.(this.at); }
  }
}

/** How many cells side by side show n numbers of a layer well. */
export const columnsFor = (n) => (n <= 12 ? n : n <= 40 ? Math.ceil(n / 2) : Math.ceil(Math.sqrt(n * 6)));
