// Lengths and areas on the sphere, drawn by clicks. Also draws the outline of an area to work on.

const EARTH_M = 6371008.8, RADIANS = Math.PI / 180;

export function lengthOf(points) {
  let sum = 0;
  for (let index = 1; index < points.length; index += 1) {
    const [a, b] = [points[index - 1], points[index]];
    const half = Math.sin((b[1] - a[1]) * RADIANS / 2) ** 2
      + Math.cos(a[1] * RADIANS) * Math.cos(b[1] * RADIANS) * Math.sin((b[0] - a[0]) * RADIANS / 2) ** 2;
    sum += 2 * EARTH_M * Math.asin(Math.sqrt(half));
  }
  return sum;
}

export function areaOf(points) {
  let sum = 0;
  for (let index = 0; index < points.length; index += 1) {
    const a = points[index], b = points[(index + 1) % points.length];
    sum += (b[0] - a[0]) * RADIANS * (2 + Math.sin(a[1] * RADIANS) + Math.sin(b[1] * RADIANS));
  }
  return Math.abs(sum) * EARTH_M ** 2 / 2;
}

export function lengthText(metres) {
  return metres >= 10000 ? `${(metres / 1000).toFixed(2)} km` : `${metres.toFixed(1)} m`;
}

export function areaText(square) {
  return square >= 1e6 ? `${(square / 1e6).toFixed(3)} km²` : `${square.toFixed(1)} m²`;
}

export class Drawing {
  constructor(maplibregl, map, colour, onEnd) {
    Object.assign(this, { maplibregl, map, colour, onEnd, points: [], active: false, closed: false, marker: null });
    map.on("click", (event) => this.active && this.add(event.lngLat));
    map.on("dblclick", (event) => { if (this.active) { event.preventDefault(); this.finish(); } });
  }

  start() {
    this.clear();
    this.active = true;
    this.map.getCanvas().style.cursor = "crosshair";
  }

  add(place) {
    if (this.closed) { this.points = []; this.closed = false; }
    const last = this.points.at(-1);
    if (last && last[0] === place.lng && last[1] === place.lat) return; // the second click of a double one
    this.points.push([place.lng, place.lat]);
    this.draw();
  }

  finish() {
    this.closed = this.points.length >= 3;
    this.draw();
    if (this.closed && this.onEnd) this.onEnd(this.points);
  }

  stop() {
    this.active = false;
    this.map.getCanvas().style.cursor = "";
  }

  clear() {
    this.points = [];
    this.closed = false;
    this.draw();
  }

  text() {
    const around = this.closed ? [...this.points, this.points[0]] : this.points;
    const length = lengthText(lengthOf(around));
    return this.points.length >= 3 ? `${length} · ${areaText(areaOf(this.points))}` : length;
  }

  draw() {
    const line = this.closed ? [...this.points, this.points[0]] : this.points;
    const features = [{ type: "Feature", properties: {}, geometry: { type: "LineString", coordinates: line } }];
    if (this.points.length >= 3) features.push({ type: "Feature", properties: {}, geometry: { type: "Polygon", coordinates: [[...this.points, this.points[0]]] } });
    features.push({ type: "Feature", properties: {}, geometry: { type: "MultiPoint", coordinates: this.points } });
    const data = { type: "FeatureCollection", features: this.points.length ? features : [] };
    this.install();
    this.map.getSource(this.name)?.setData(data);
    this.marker?.remove();
    this.marker = null;
    if (this.points.length < 2) return;
    const label = document.createElement("div");
    label.className = "measured";
    label.textContent = this.text();
    this.marker = new this.maplibregl.Marker({ element: label, anchor: "top-left", offset: [8, 8] })
      .setLngLat(this.points.at(-1)).addTo(this.map);
  }

  get name() { return `drawing-${this.colour.slice(1)}`; }

  install() {
    if (this.map.getSource(this.name)) return;
    this.map.addSource(this.name, { type: "geojson", data: { type: "FeatureCollection", features: [] } });
    const source = this.name;
    this.map.addLayer({ id: `${source}-fill`, type: "fill", source, filter: ["==", ["geometry-type"], "Polygon"], paint: { "fill-color": this.colour, "fill-opacity": 0.15 } });
    this.map.addLayer({ id: `${source}-line`, type: "line", source, paint: { "line-color": this.colour, "line-width": 2 } });
    this.map.addLayer({ id: `${source}-points`, type: "circle", source, filter: ["==", ["geometry-type"], "Point"], paint: { "circle-color": this.colour, "circle-radius": 4, "circle-stroke-color": "#fff", "circle-stroke-width": 1 } });
  }
}
