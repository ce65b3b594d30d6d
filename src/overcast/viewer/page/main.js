// The page of the server: everything is asked from where it came from.
import * as maplibregl from "./maplibre/maplibre-gl.mjs";
import { startPage } from "./app.js";
import { serverSource } from "./source.js";
import { startWork } from "./work.js";

const settings = await (await fetch("settings.json")).json();
const wanted = new URLSearchParams(location.search).get("map") ?? settings.map;
if (settings.work) {
  await startWork(maplibregl, settings, wanted);
} else {
  await startPage(maplibregl, serverSource(wanted, settings));
}
