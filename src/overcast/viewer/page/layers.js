// What MapLibre draws, from the state of the page.

export const RAMP = [[0, "#a50026"], [500, "#e0402a"], [700, "#fc9a5b"], [850, "#fee08b"], [940, "#91d7f2"], [1000, "#2f8fff"]];
export const COLOURS = { found: "#1fb89a", missed: "#ffb000", invented: "#e83e8c", small: "#9aa5ad", plain: "#41b6ff", reference: "#ffffff" };
export const ORDER = ["scene", "optical", "probability", "reference", "footprints"]; // from below
export const LABELS = {
  scene: "Radar", optical: "Orthophoto", probability: "Probability", reference: "Reference", footprints: "Footprints",
};

export function levelOf(threshold) {
  return Math.round(threshold * 1000);
}

export function footprintColour(by) {
  if (by === "differences") return ["match", ["get", "m"], 2, COLOURS.found, 1, COLOURS.invented, COLOURS.small];
  if (by === "plain") return COLOURS.plain;
  return ["interpolate", ["linear"], ["get", "c"], ...RAMP.flat()];
}

export function probabilityColour(threshold) {
  const none = "rgba(255,214,102,0)", low = threshold > 0.01 ? "rgba(255,214,102,0.55)" : none;
  const begin = Math.max(levelOf(threshold), 4); // thousandths; where there are no data, -1000
  return [
    "interpolate", ["linear"], ["elevation"],
    -1000, none, begin - 2, none, begin, low, 1001, "rgba(235,60,60,0.95)",
  ];
}

function shapeFilter(name, state) {
  const level = levelOf(state.threshold);
  if (name === "footprints") return [">=", ["get", "c"], level];
  return state.colourBy === "differences" ? ["<=", ["get", "f"], level] : true;
}

function drawn(name, state, side) {
  const layer = state.layers[name];
  return layer && layer[side] ? "visible" : "none";
}

function layersOf(name, state, side) {
  const visibility = drawn(name, state, side), opacity = state.layers[name].opacity, source = name;
  if (name === "scene" || name === "optical") {
    return [{ id: name, type: "raster", source, layout: { visibility },
      paint: { "raster-opacity": opacity, "raster-fade-duration": 0 } }];
  }
  if (name === "probability") {
    return [{ id: name, type: "color-relief", source, layout: { visibility },
      paint: { "color-relief-opacity": opacity, "color-relief-color": probabilityColour(state.threshold) } }];
  }
  const colour = name === "footprints" ? footprintColour(state.colourBy)
    : state.colourBy === "differences" ? COLOURS.missed : COLOURS.reference;
  const common = { source, "source-layer": name, filter: shapeFilter(name, state), layout: { visibility } };
  const inside = name === "footprints" || state.colourBy === "differences" ? 0.28 : 0;
  return [
    { ...common, id: `${name}-fill`, type: "fill", paint: { "fill-color": colour, "fill-opacity": inside * opacity } },
    { ...common, id: name, type: "line", paint: { "line-color": colour, "line-opacity": opacity,
      "line-width": ["interpolate", ["linear"], ["zoom"], 11, 0.6, 16, 1.6, 19, 2.6],
      ...(name === "reference" && state.colourBy !== "differences" ? { "line-dasharray": [3, 2] } : {}) } },
  ];
}

export function styleOf(source, info, state, side, ground) {
  const style = { version: 8, sources: {}, layers: [{ id: "ground", type: "background", paint: { "background-color": ground } }] };
  if (source.basemap) {
    style.sources.basemap = { type: "raster", tileSize: 256, tiles: [source.basemap] };
    style.layers.push({ id: "basemap", type: "raster", source: "basemap" });
  }
  for (const name of ORDER) {
    const about = info.layers[name];
    if (!about) continue;
    style.sources[name] = name === "probability" ? source.probability(about)
      : name === "scene" || name === "optical" ? source.picture(name, about, state.layers[name].band)
        : source.shapes(name, about, state.compared);
    const specification = layersOf(name, state, side);
    if (style.sources[name].type === "geojson") specification.forEach((layer) => delete layer["source-layer"]);
    style.layers.push(...specification);
  }
  return style;
}

export function repaint(map, info, state, side) {
  for (const name of ORDER) {
    if (!info.layers[name]) continue;
    for (const layer of layersOf(name, state, side)) {
      if (!map.getLayer(layer.id)) continue;
      map.setLayoutProperty(layer.id, "visibility", layer.layout.visibility);
      if (layer.filter !== undefined) map.setFilter(layer.id, layer.filter === true ? null : layer.filter);
      for (const [key, value] of Object.entries(layer.paint)) map.setPaintProperty(layer.id, key, value);
    }
  }
}
