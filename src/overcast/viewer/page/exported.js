// Where the layers of a map in one file come from: the file itself.

export function exportedSource(data) {
  return {
    basemap: null,
    info: async () => data.info,
    comparison: async () => ({ state: "ready", curve: data.curve }),
    attributes: async (layer, id) => ({ ...data.facts[layer][id] }),
    picture: (layer) => ({ type: "image", ...data.pictures[layer] }),
    shapes: (layer) => ({ type: "geojson", data: data.shapes[layer], maxzoom: 20, tolerance: 0.2 }),
  };
}
