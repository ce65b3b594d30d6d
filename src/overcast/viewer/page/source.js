// Where the layers come from: the server, tile by tile.

export async function fetchJson(path, options) {
  const answer = await fetch(path, options);
  const body = answer.status === 204 ? null : await answer.json();
  if (!answer.ok) throw new Error(body?.detail ?? `the server answered ${answer.status}`);
  return body;
}

export function serverSource(map, settings) {
  const base = new URL(`maps/${encodeURIComponent(map)}`, document.baseURI).href;
  return {
    basemap: settings.basemap,
    info: () => fetchJson(base),
    comparison: () => fetchJson(`${base}/comparison`),
    attributes: (layer, id) => fetchJson(`${base}/shapes/${layer}/${id}`),
    place: (lng, lat) => fetchJson(`${base}/place?longitude=${lng}&latitude=${lat}`),
    picture: (layer, about, band) => ({
      type: "raster", tileSize: 512, bounds: about.bounds, maxzoom: 21,
      tiles: [`${base}/pictures/${layer}/{z}/{x}/{y}?band=${band}`],
    }),
    probability: (about) => ({
      type: "raster-dem", tileSize: 512, bounds: about.bounds, maxzoom: 19, encoding: "terrarium",
      tiles: [`${base}/probability/{z}/{x}/{y}`],
    }),
    shapes: (layer, about, compared) => ({
      type: "vector", bounds: about.bounds ?? [-180, -85, 180, 85], maxzoom: 18,
      tiles: [`${base}/shapes/${layer}/{z}/{x}/{y}${compared ? "?compared=1" : ""}`],
    }),
  };
}
