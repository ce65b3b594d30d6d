// The page of a map, whatever its layers come from.
import { LABELS, ORDER, repaint, styleOf } from "./layers.js";
import { Drawing } from "./measure.js";
import { factsTable, listLayers, part, say, showFigures, showLegend, showThreshold } from "./panel.js";
import { initialState, readHash, writeHash } from "./state.js";
import { Swipe } from "./swipe.js";

const POLL_MS = 400, HASH_MS = 150;

function shade() {
  const chosen = document.documentElement.dataset.theme;
  const dark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.shade = dark ? "dark" : "light";
  return dark ? "#0c1116" : "#dfe5e9";
}

export class Page {
  constructor(maplibregl, source, info) {
    Object.assign(this, { maplibregl, source, info, curve: null, right: null, pending: 0 });
    this.state = initialState(info);
    this.place = readHash(this.state, info);
  }

  begin() {
    const [west, south, east, north] = this.info.bounds, small = matchMedia("(max-width: 640px)").matches;
    const padding = small ? { left: 16, right: 16, top: 60, bottom: 80 } : { left: 330, right: 50, top: 40, bottom: 50 };
    this.view = { bounds: [[west, south], [east, north]], fitBoundsOptions: { padding, maxZoom: 19 } };
    this.left = this.makeMap("map-left", "left", this.place ?? this.view, true);
    this.left.addControl(new this.maplibregl.NavigationControl({ showCompass: false }), "top-right");
    this.left.addControl(new this.maplibregl.ScaleControl({ maxWidth: 140 }), "bottom-right");
    this.drawing = new Drawing(this.maplibregl, this.left, "#ff4d00");
    this.swipe = new Swipe(part("maps"), part("divider"), (share) => { this.state.swipe = share; this.remember(); });
    this.left.on("move", () => { this.right?.jumpTo({ center: this.left.getCenter(), zoom: this.left.getZoom() }); this.remember(); });
    this.left.on("mousemove", (event) => this.showPosition(event.lngLat));
    this.left.on("click", (event) => { if (!this.drawing.active && !this.busy) this.ask(event); });
    document.title = `${this.info.name} – Overcast`;
    part("title").textContent = part("title").title = this.info.name;
    part("crs").textContent = [this.info.crs.code, this.info.crs.name].filter(Boolean).join(" · ");
    this.showPosition(this.left.getCenter());
    if (this.state.swipe !== null) this.setSwipe(true, this.state.swipe);
    this.refresh();
    if (this.info.compares) this.compare();
  }

  makeMap(container, side, view, interactive) {
    const map = new this.maplibregl.Map({
      container, ...view, interactive, attributionControl: false, maxZoom: 22, dragRotate: false, pitchWithRotate: false,
      touchPitch: false, fadeDuration: 0, style: styleOf(this.source, this.info, this.state, side, shade()),
    });
    map.touchZoomRotate?.disableRotation();
    map.keyboard?.disableRotation();
    map.on("error", (event) => say(event.error?.message ?? "a tile could not be drawn", true));
    return map;
  }

  maps() { return this.right ? [[this.left, "left"], [this.right, "right"]] : [[this.left, "left"]]; }

  paint() {
    for (const [map, side] of this.maps()) {
      const draw = () => repaint(map, this.info, this.state, side);
      if (map.isStyleLoaded() || map.getLayer("ground")) draw();
      else map.once("styledata", draw);
    }
    this.remember();
  }

  refresh() {
    listLayers(this.info, this.state, {
      show: (name, side, on) => { this.state.layers[name][side] = on; this.paint(); },
      opacity: (name, value) => { this.state.layers[name].opacity = value; this.paint(); },
      band: (name, band) => { this.state.layers[name].band = band; this.retile(name); },
    });
    part("colours").hidden = !this.info.layers.footprints;
    part("colour-by").value = this.state.colourBy;
    for (const option of part("colour-by").options) {
      option.hidden = (option.value === "differences" && !this.info.compares) || (option.value === "confidence" && !this.info.layers.footprints?.confidence);
    }
    showThreshold(this.info, this.state);
    showLegend(this.info, this.state);
    if (this.curve) showFigures(this.curve, this.state.threshold);
    this.paint();
  }

  retile(name) {
    const about = this.info.layers[name];
    for (const [map] of this.maps()) {
      const made = LABELS[name] && (name === "footprints" || name === "reference")
        ? this.source.shapes(name, about, this.state.compared) : this.source.picture(name, about, this.state.layers[name].band);
      if (made.tiles) map.getSource(name)?.setTiles(made.tiles);
      else if (made.url) map.getSource(name)?.updateImage({ url: made.url });
    }
    this.remember();
  }

  setThreshold(value) {
    this.state.threshold = Math.min(Math.max(Math.round(value * 100) / 100, 0), 1);
    showThreshold(this.info, this.state);
    if (this.curve) showFigures(this.curve, this.state.threshold);
    cancelAnimationFrame(this.pending);
    this.pending = requestAnimationFrame(() => this.paint());
  }

  setColours(by) { this.state.colourBy = by; this.refresh(); }

  setSwipe(on, share = 0.5) {
    this.state.swipe = on ? share : null;
    if (on && !this.right) {
      this.right = this.makeMap("map-right", "right", { center: this.left.getCenter(), zoom: this.left.getZoom() }, false);
    }
    part("swipe").setAttribute("aria-pressed", String(on));
    this.swipe.show(on);
    if (on) this.swipe.put(share);
    this.refresh();
  }

  setMeasure(on) {
    part("measure").setAttribute("aria-pressed", String(on));
    if (on) this.drawing.start();
    else { this.drawing.clear(); this.drawing.stop(); }
    say(on ? "Click along what you measure; double click or Enter ends, Esc clears." : "");
  }

  toggle(index) {
    const name = [...ORDER].reverse().filter((one) => this.info.layers[one])[index];
    if (!name) return;
    this.state.layers[name].left = !this.state.layers[name].left;
    this.refresh();
  }

  fit() { this.left.fitBounds(this.view.bounds, { ...this.view.fitBoundsOptions, duration: 300 }); }

  setTheme() {
    const next = document.documentElement.dataset.shade === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    const ground = shade();
    for (const [map] of this.maps()) map.setPaintProperty("ground", "background-color", ground);
  }

  showPosition(place) {
    const part1 = (value, plus, minus) => `${Math.abs(value).toFixed(6)}° ${value >= 0 ? plus : minus}`;
    part("position").textContent = `${part1(place.lat, "N", "S")}  ${part1(place.lng, "E", "W")}`;
  }

  remember() {
    clearTimeout(this.hashing);
    this.hashing = setTimeout(() => writeHash(this.state, this.left), HASH_MS);
  }

  async compare() {
    part("figures").hidden = false;
    say("comparing with the reference …");
    try {
      for (;;) {
        const answer = await this.source.comparison();
        if (answer.state === "ready") { this.curve = answer.curve; break; }
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      }
      this.state.compared = true;
      this.retile("footprints");
      this.retile("reference");
      say("");
      this.refresh();
    } catch (error) {
      part("figures").hidden = true;
      say(error.message, true);
    }
  }

  async ask(event) {
    const onRight = this.right && this.state.swipe !== null && event.point.x > this.state.swipe * part("maps").clientWidth;
    const map = onRight ? this.right : this.left, layers = ["footprints-fill", "reference-fill"].filter((id) => map.getLayer(id));
    const [feature] = map.queryRenderedFeatures(event.point, { layers });
    const popup = new this.maplibregl.Popup({ maxWidth: "320px" }).setLngLat(event.lngLat);
    try {
      const facts = feature ? await this.source.attributes(feature.source, feature.id, feature) : {};
      const title = feature ? `${LABELS[feature.source].replace(/s$/, "")} ${facts.id ?? feature.id}` : "Here";
      const here = this.source.place ? await this.source.place(event.lngLat.lng, event.lngLat.lat) : null;
      if (here) Object.assign(facts, this.hereFacts(here));
      if (!Object.keys(facts).length) return;
      popup.setDOMContent(factsTable(title, facts)).addTo(this.left);
    } catch (error) { say(error.message, true); }
  }

  hereFacts(here) {
    const facts = { "x, y": here.xy.map((value) => value.toFixed(Math.abs(value) > 400 ? 2 : 6)).join(", ") };
    for (const [layer, values] of Object.entries(here.values)) {
      const shown = values.filter((value) => value !== null).map((value) => +value.toPrecision(4));
      if (shown.length) facts[LABELS[layer].toLowerCase()] = shown.join(", ");
    }
    return facts;
  }
}

export function keys(page) {
  const actions = {
    s: () => page.setSwipe(page.state.swipe === null), m: () => page.setMeasure(!page.drawing.active), f: () => page.fit(),
    d: () => page.setTheme(), p: () => part("fold").click(), "?": () => part("keys").showModal(),
    "[": () => page.setThreshold(page.state.threshold - 0.01), "]": () => page.setThreshold(page.state.threshold + 0.01),
    Enter: () => page.drawing.active && page.drawing.finish(), Escape: () => page.drawing.active && page.drawing.clear(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || part("keys").open) return;
    if (event.target.matches("input:not([type=range]):not([type=checkbox]), select, textarea")) return;
    if (/^[1-5]$/.test(event.key)) page.toggle(+event.key - 1);
    else if (actions[event.key.length === 1 ? event.key.toLowerCase() : event.key] && !(event.key === "Enter" && event.target.matches("button, a"))) {
      actions[event.key.length === 1 ? event.key.toLowerCase() : event.key]();
    }
  });
}

export async function startPage(maplibregl, source) {
  let page;
  try {
    page = new Page(maplibregl, source, await source.info());
    page.begin();
  } catch (error) {
    say(error.message, true);
    throw error;
  }
  part("threshold").addEventListener("input", () => page.setThreshold(+part("threshold").value));
  part("colour-by").addEventListener("change", () => page.setColours(part("colour-by").value));
  part("fit").addEventListener("click", () => page.fit());
  part("swipe").addEventListener("click", () => page.setSwipe(page.state.swipe === null));
  part("measure").addEventListener("click", () => page.setMeasure(!page.drawing.active));
  part("theme").addEventListener("click", () => page.setTheme());
  part("help").addEventListener("click", () => part("keys").showModal());
  part("fold").addEventListener("click", () => {
    const folded = part("panel").classList.toggle("folded");
    part("fold").setAttribute("aria-expanded", String(!folded));
  });
  if (matchMedia("(max-width: 640px)").matches) part("fold").click();
  keys(page);
  window.overcastPage = page; // for tests and for the curious
  return page;
}
