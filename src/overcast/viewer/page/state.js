// What the page shows, and its form in the address: #map=zoom/latitude/longitude&t=0.50&l=scene,footprints&...
import { ORDER } from "./layers.js";

const OPACITY = { scene: 1, optical: 1, probability: 0.8, reference: 1, footprints: 1 };

export function initialState(info) {
  const layers = {};
  for (const name of ORDER) {
    const about = info.layers[name];
    if (!about) continue;
    const base = name === "optical" && info.layers.scene ? false : name !== "probability";
    const right = name === "optical" || (name === "scene" ? !info.layers.optical : name !== "probability" || !info.layers.optical);
    layers[name] = { left: base, right, opacity: OPACITY[name], band: name === "optical" && about.bands.length >= 3 ? 0 : 1 };
  }
  return { layers, threshold: 0, colourBy: info.layers.footprints?.confidence === false ? "plain" : "confidence",
    compared: false, swipe: null };
}

export function readHash(state, info) {
  const given = new URLSearchParams(location.hash.slice(1));
  const number = (text, low, high) => (text !== null && Number.isFinite(+text) && +text >= low && +text <= high ? +text : null);
  state.threshold = number(given.get("t"), 0, 1) ?? state.threshold;
  state.swipe = number(given.get("s"), 0, 1) ?? state.swipe;
  for (const side of ["left", "right"]) {
    const listed = given.get(side === "left" ? "l" : "r");
    if (listed === null) continue;
    for (const name of Object.keys(state.layers)) state.layers[name][side] = listed.split(",").includes(name);
  }
  for (const part of (given.get("o") ?? "").split(",")) {
    const [name, percent] = part.split(":");
    if (state.layers[name] && number(percent, 0, 100) !== null) state.layers[name].opacity = +percent / 100;
  }
  for (const part of (given.get("b") ?? "").split(",")) {
    const [name, band] = part.split(":"), bands = info.layers[name]?.bands;
    if (bands && Number.isInteger(+band) && +band >= 0 && +band <= bands.length) state.layers[name].band = +band;
  }
  if (["confidence", "plain", "differences"].includes(given.get("c"))) state.colourBy = given.get("c");
  if (state.colourBy === "differences" && !info.compares) state.colourBy = "confidence";
  const place = (given.get("map") ?? "").split("/").map(Number);
  const valid = place.length === 3 && place.every(Number.isFinite) && Math.abs(place[1]) <= 85.06 && place[0] <= 26;
  return valid ? { zoom: place[0], center: [place[2], place[1]] } : null;
}

export function writeHash(state, map) {
  const centre = map.getCenter(), names = Object.keys(state.layers), digits = Math.max(4, Math.ceil(map.getZoom() / 3));
  const parts = [`map=${map.getZoom().toFixed(2)}/${centre.lat.toFixed(digits)}/${centre.lng.toFixed(digits)}`];
  parts.push(`t=${state.threshold.toFixed(2)}`, `l=${names.filter((name) => state.layers[name].left)}`);
  if (state.swipe !== null) parts.push(`s=${state.swipe.toFixed(3)}`, `r=${names.filter((name) => state.layers[name].right)}`);
  const faded = names.filter((name) => state.layers[name].opacity !== OPACITY[name]);
  if (faded.length) parts.push(`o=${faded.map((name) => `${name}:${Math.round(state.layers[name].opacity * 100)}`)}`);
  const banded = names.filter((name) => state.layers[name].band > 1 || (name === "scene" && state.layers[name].band === 0));
  if (banded.length) parts.push(`b=${banded.map((name) => `${name}:${state.layers[name].band}`)}`);
  if (state.colourBy !== "confidence") parts.push(`c=${state.colourBy}`);
  const kept = new URLSearchParams(location.hash.slice(1)).get("job");
  if (kept) parts.push(`job=${encodeURIComponent(kept)}`);
  history.replaceState(null, "", `#${parts.join("&")}`);
}
