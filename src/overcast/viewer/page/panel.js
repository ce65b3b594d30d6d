// The panel: layers, threshold, figures, legend.
import { COLOURS, LABELS, ORDER, RAMP } from "./layers.js";

export const part = (id) => document.getElementById(id);

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key in made && key !== "list") made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function bandChoice(name, about, chosen, onChange) {
  if (!about.bands || about.bands.length < 2 || name === "optical") return null;
  const select = element("select", { title: "Band" });
  about.bands.forEach((band, index) => select.append(element("option", { value: String(index + 1) }, band)));
  select.append(element("option", { value: "0" }, "colour"));
  select.value = String(chosen);
  select.addEventListener("change", () => onChange(+select.value));
  return select;
}

function subtitle(about) {
  const count = about.count === undefined ? "" : `${about.count.toLocaleString("en")} · `;
  return `${count}${about.file}${about.unit ? ` · ${about.unit}` : ""}`;
}

export function listLayers(info, state, actions) {
  const list = part("layers");
  list.replaceChildren();
  part("sides").hidden = state.swipe === null;
  [...ORDER].reverse().filter((name) => info.layers[name]).forEach((name, index) => {
    const layer = state.layers[name], about = info.layers[name];
    const box = (side, hint) => {
      const input = element("input", { type: "checkbox", checked: layer[side], title: hint });
      input.dataset.layer = name;
      input.dataset.side = side;
      input.addEventListener("change", () => actions.show(name, side, input.checked));
      return input;
    };
    const left = box("left", `${LABELS[name]} (${index + 1})`);
    left.id = `show-${name}`;
    const label = element("label", { htmlFor: left.id }, element("span", { className: "name" }, LABELS[name]),
      element("span", { className: "file", title: about.file }, subtitle(about)));
    const boxes = state.swipe === null ? [left] : [left, box("right", `${LABELS[name]} on the right`)];
    const row = element("div", { className: "row" }, ...(state.swipe === null ? [left, label] : [label]));
    const bands = bandChoice(name, about, layer.band, (band) => actions.band(name, band));
    if (bands) row.append(bands);
    if (state.swipe !== null) row.append(...boxes);
    const opacity = element("input", { type: "range", min: "0", max: "1", step: "0.05", value: String(layer.opacity),
      title: "Opacity" });
    opacity.setAttribute("aria-label", `Opacity of ${LABELS[name]}`);
    opacity.addEventListener("input", () => actions.opacity(name, +opacity.value));
    list.append(element("li", {}, row, opacity));
  });
}

export function showThreshold(info, state) {
  const footprints = info.layers.footprints, useful = footprints?.confidence || info.layers.probability;
  part("threshold-part").hidden = !useful;
  part("threshold").value = String(state.threshold);
  part("threshold-value").textContent = state.threshold.toFixed(2);
  const words = [];
  if (footprints?.confidence) words.push("footprints of this confidence or more");
  if (info.layers.probability) words.push("probability from here on");
  part("threshold-note").textContent = `Shows ${words.join("; ")}.`;
}

export function showFigures(curve, threshold) {
  const figures = curve[Math.round(threshold * (curve.length - 1))];
  part("f1").textContent = figures.f1.toFixed(3);
  for (const name of ["found", "missed", "invented"]) {
    part(`count-${name}`).textContent = figures[name].toLocaleString("en");
  }
}

export function showLegend(info, state) {
  const legend = part("legend");
  legend.replaceChildren();
  if (state.colourBy === "confidence") {
    const ramp = element("canvas", { className: "ramp", width: 200, height: 1 });
    const pen = ramp.getContext("2d"), fill = pen.createLinearGradient(0, 0, 200, 0);
    RAMP.forEach(([level, colour]) => fill.addColorStop(level / 1000, colour));
    pen.fillStyle = fill;
    pen.fillRect(0, 0, 200, 1);
    legend.append(ramp, element("div", { className: "ends" }, element("span", {}, "0"), element("span", {}, "0.5"),
      element("span", {}, "1")));
  }
  if (state.colourBy === "differences") {
    for (const name of ["found", "missed", "invented", "small"]) legend.append(entry(COLOURS[name], name === "small" ? "too small to count" : name), " ");
  }
  if (info.layers.reference && state.colourBy !== "differences") legend.append(entry(COLOURS.reference, "reference (dashed)"));
}

function entry(colour, text) {
  const swatch = element("canvas", { className: "swatch", width: 1, height: 1 });
  const pen = swatch.getContext("2d");
  pen.fillStyle = colour;
  pen.fillRect(0, 0, 1, 1);
  return element("span", { className: "entry" }, swatch, text);
}

export function say(text, bad = false) {
  part("message").textContent = text;
  part("message").classList.toggle("bad", bad);
}

export function factsTable(title, facts) {
  const table = element("table", { className: "facts" }, element("caption", {}, title));
  for (const [name, value] of Object.entries(facts)) {
    const shown = typeof value === "number" && !Number.isInteger(value) ? String(+value.toPrecision(6)) : String(value ?? "–");
    table.append(element("tr", {}, element("th", {}, name), element("td", {}, shown)));
  }
  return table;
}
