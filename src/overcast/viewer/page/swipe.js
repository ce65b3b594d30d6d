// Two maps above each other, of which the upper one is cut at a line that can be dragged.

export class Swipe {
  constructor(container, divider, onMove) {
    Object.assign(this, { container, divider, onMove, share: 0.5 });
    divider.addEventListener("pointerdown", (event) => { divider.setPointerCapture(event.pointerId); this.dragging = true; });
    divider.addEventListener("pointerup", () => { this.dragging = false; });
    divider.addEventListener("pointermove", (event) => this.dragging && this.put(event.clientX / container.clientWidth));
    divider.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -0.02, ArrowRight: 0.02 }[event.key];
      if (step) { event.preventDefault(); event.stopPropagation(); this.put(this.share + step); }
    });
  }

  put(share) {
    this.share = Math.min(Math.max(share, 0.02), 0.98);
    this.divider.style.left = `${this.share * 100}%`;
    this.divider.setAttribute("aria-valuenow", String(Math.round(this.share * 100)));
    this.container.querySelector("#map-right").style.clipPath = `inset(0 0 0 ${this.share * 100}%)`;
    this.onMove(this.share);
  }

  show(on) {
    this.container.classList.toggle("swiping", on);
    this.divider.hidden = !on;
  }
}
