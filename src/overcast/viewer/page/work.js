// Filled in by the server of jobs.
import { serverSource } from "./source.js";
import { startPage } from "./app.js";

export async function startWork(maplibregl, settings, wanted) {
  return startPage(maplibregl, serverSource(wanted, settings));
}
