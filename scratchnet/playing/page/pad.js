// The drawing pad: 28 x 28 pixels, by mouse, pen, finger or keyboard.

const SIZE = 28;

export class Pad {
  /** changed() is called after every change of the drawing. */
  constructor(canvas, changed) {
    this.canvas = canvas; this.changed = changed; this.erasing = false;
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    this.pen = [14, 14];
    let last = null;
    canvas.addEventListener("pointerdown", (e) => {
      if (e.button) return;
      e.preventDefault(); canvas.focus({ preventScroll: true });
      last = this.#at(e); canvas.setPointerCapture(e.pointerId); this.#line(last, last);
    });
    canvas.addEventListener("pointermove", (e) => {
      if (!last) return;
      for (const part of e.getCoalescedEvents?.() ?? [e]) { const to = this.#at(part); this.#draw(last, to); last = to; }
      this.changed();
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { last = null; });
    canvas.addEventListener("keydown", (e) => this.#key(e));
    this.clear();
  }

  /** The drawing as 784 numbers from 0 to 255. */
  get pixels() {
    const { data } = this.context.getImageData(0, 0, SIZE, SIZE);
    return Array.from({ length: SIZE * SIZE }, (_, k) => data[4 * k]);
  }

  set pixels(values) {
    const image = this.context.createImageData(SIZE, SIZE);
    values.forEach((v, k) => image.data.set([v, v, v, 255], 4 * k));
    this.context.putImageData(image, 0, 0);
  }

  clear() { this.pixels = new Array(SIZE * SIZE).fill(0); }

  /** Move the drawing by whole pixels; what leaves the pad is lost. */
  shift(dx, dy) {
    const old = this.pixels;
    this.pixels = old.map((_, k) => {
      const x = (k % SIZE) - dx, y = Math.floor(k / SIZE) - dy;
      return x >= 0 && x < SIZE && y >= 0 && y < SIZE ? old[y * SIZE + x] : 0;
    });
    this.changed();
  }

  #at(event) {
    const box = this.canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * SIZE, ((event.clientY - box.top) / box.height) * SIZE];
  }

  #draw(from, to) {
    Object.assign(this.context, { strokeStyle: this.erasing ? "#000" : "#fff", lineWidth: this.erasing ? 4 : 2.2, lineCap: "round" });
    this.context.beginPath(); this.context.moveTo(...from); this.context.lineTo(...to); this.context.stroke();
  }

  #line(from, to) { this.#draw(from, to); this.changed(); }

  /** Arrow keys move the pen; with shift, or after space, they draw. */
  #key(event) {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (step) {
      const to = this.pen.map((v, k) => Math.min(SIZE - 1, Math.max(0, v + step[k])));
      if (event.shiftKey) this.#line(this.pen, to);
      this.pen = to;
    } else if (event.key === " ") this.#line(this.pen, this.pen);
    else if (event.key === "Backspace") { const was = this.erasing; this.erasing = true; this.#line(this.pen, this.pen); this.erasing = was; }
    else return;
    event.preventDefault();
  }
}
