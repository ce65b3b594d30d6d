// The page of the server of jobs: choose a scene, say what is missing, draw an area, watch, look, download.
import { startPage } from "./app.js";
import { Drawing } from "./measure.js";
import { element, part, say } from "./panel.js";
import { fetchJson, serverSource } from "./source.js";

const KINDS = { gpkg: "GPKG", parquet: "GeoParquet", geojson: "GeoJSON", tif: "COG" };
const state = { scenes: [], models: [], jobs: [], area: null, drawing: null, page: null, streams: new Map() };

function field(label, input) { return element("label", { className: "field" }, label, input); }

function choice(id, values) {
  const select = element("select", { id });
  for (const [value, text] of values) select.append(element("option", { value }, text));
  return select;
}

function build(wanted) {
  const form = element("form", { id: "job-form" },
    element("h2", {}, "Map a scene"),
    field("Scene", element("div", { className: "row" }, choice("scene", []), element("button", { type: "button", id: "look" }, "Show"))),
    element("label", { className: "upload" }, "Upload a GeoTIFF", element("input", { type: "file", id: "file", accept: ".tif,.tiff" })),
    element("progress", { id: "upload-progress", max: 1, value: 0, hidden: true }),
    field("Model", choice("model", [])),
    element("details", { id: "about" }, element("summary", {}, "What the scene is"),
      field("Bands, in order", element("input", { type: "text", id: "bands", placeholder: "from the file, or HH, HV" })),
      field("Unit", choice("unit", [["", "from the file"], ["dB", "dB"], ["amplitude", "amplitude"], ["linear_power", "power"], ["digital_number", "digital numbers"]])),
      field("Side on which the radar stood", choice("radar-side", [["", "from the file"], ["north", "north"], ["east", "east"], ["south", "south"], ["west", "west"]])),
      field("Value without data", element("input", { type: "text", id: "nodata", inputMode: "decimal", placeholder: "from the file" })),
      field("Unlike the training data", choice("level", [["check", "refuse it"], ["match", "shift its brightness"], ["keep", "go on as it is"]]))),
    element("details", { id: "beside" }, element("summary", {}, "Optical image, where there is one"),
      element("fieldset", { className: "field" }, element("legend", {}, "Image, or its sheets"), element("div", { id: "optical" })),
      field("Cloud mask", choice("clouds", [])),
      field("Values that mean cloud", element("input", { type: "text", id: "cloud-values", placeholder: "all but 0, or 3, 8, 9" })),
      field("Value without data in the image", element("input", { type: "text", id: "optical-nodata", inputMode: "decimal", placeholder: "from the file" }))),
    element("div", { className: "row" }, element("button", { type: "button", id: "draw", "aria-pressed": "false" }, "Draw an area"),
      element("button", { type: "button", id: "check" }, "Check"), element("button", { type: "submit", id: "go", className: "main" }, "Map it")),
    element("p", { id: "form-note", className: "note", role: "status" }));
  part("work").replaceChildren(form, element("h2", {}, "Jobs"), element("ul", { id: "jobs" }));
  part("work").hidden = false;
  part("look").addEventListener("click", () => open(state.scenes.find((one) => one.name === part("scene").value)?.map));
  part("file").addEventListener("change", () => part("file").files.length && upload(part("file").files[0]));
  part("draw").addEventListener("click", draw);
  part("check").addEventListener("click", () => attempt(check));
  form.addEventListener("submit", (event) => { event.preventDefault(); attempt(run); });
}

function open(map) { if (map) location.href = `./?map=${encodeURIComponent(map)}`; }

function note(text, bad = false) {
  part("form-note").textContent = text;
  part("form-note").classList.toggle("bad", bad);
  part("form-note").scrollIntoView({ block: "nearest" });
}

async function attempt(action) {
  for (const id of ["check", "go"]) part(id).disabled = true;
  try { await action(); } catch (error) { note(error.message, true); }
  for (const id of ["check", "go"]) part(id).disabled = false;
}

function words(id) { return part(id).value.split(",").map((word) => word.trim()).filter(Boolean); }

function number(text, what) {
  if (!Number.isFinite(+text)) throw new Error(`${what} is a number.`);
  return +text;
}

function sheets() { return [...part("optical").querySelectorAll("input:checked")].map((box) => box.value); }

function optical() {
  const files = sheets(), values = words("cloud-values"), nodata = part("optical-nodata").value.trim();
  if (!files.length) {
    if (part("clouds").value) throw new Error("a cloud mask is chosen, but no optical image; choose it too.");
    return null;
  }
  const given = { files };
  if (part("clouds").value) given.clouds = part("clouds").value;
  if (values.length) given.cloud_values = values.map((value) => number(value, "a value that means cloud"));
  if (nodata) given.nodata = number(nodata, "the value without data in the image");
  return given;
}

function inputs() {
  const given = { scene: part("scene").value, model: part("model").value, level: part("level").value };
  const bands = words("bands"), nodata = part("nodata").value.trim(), beside = optical();
  if (bands.length) given.bands = bands;
  if (beside) given.optical = beside;
  if (part("unit").value) given.unit = part("unit").value;
  if (part("radar-side").value) given.radar_side = part("radar-side").value;
  if (nodata) given.nodata = number(nodata, "the value without data");
  if (state.area) given.area = { type: "Polygon", coordinates: [[...state.area, state.area[0]]] };
  return given;
}

function post(path, body) {
  return fetchJson(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
}

async function check() {
  const given = inputs();
  delete given.area;
  note("looking at the scene …");
  const answer = await post("scenes/check", given);
  if (!answer.ready) part("about").open = true;
  note(answer.ready ? `Ready: ${answer.km2.toPrecision(3)} km². ${answer.steps.join("; ")}` : answer.sentence, !answer.ready);
  return answer.ready;
}

async function run() {
  if (!(await check())) return;
  const job = await post("processes/predict/execution", { inputs: inputs() });
  note("");
  state.drawing?.clear();
  state.area = null;
  await listJobs();
  document.getElementById(`job-${job.jobID}`)?.scrollIntoView({ block: "nearest" });
}

function draw() {
  if (!state.page) { note("show a scene first, then draw on it.", true); return; }
  const drawing = state.drawing, on = !drawing.active;
  part("draw").setAttribute("aria-pressed", String(on));
  state.page.busy = on;
  if (on) { state.area = null; drawing.start(); note("click the corners; double click ends."); } else { drawing.clear(); endDrawing(null); }
}

function endDrawing(points) {
  state.area = points;
  state.drawing.stop();
  setTimeout(() => { state.page.busy = false; }, 0);
  part("draw").setAttribute("aria-pressed", "false");
  note(points ? `only the area is mapped: ${state.drawing.text()}` : "");
}

function upload(file) {
  const request = new XMLHttpRequest(), bar = part("upload-progress");
  request.open("PUT", `uploads/${encodeURIComponent(file.name)}`);
  request.upload.addEventListener("progress", (event) => { bar.value = event.loaded / event.total; });
  request.addEventListener("loadend", async () => {
    bar.hidden = true;
    part("file").value = "";
    let answer = {};
    try { answer = JSON.parse(request.responseText); } catch { /* no answer at all */ }
    if (request.status !== 201) { note(answer.detail ?? "the upload was interrupted; try again.", true); return; }
    await listScenes(answer.scene);
    note(`${answer.scene} is there.`);
  });
  bar.hidden = false;
  bar.value = 0;
  request.send(file);
}

function list(select, names, chosen) {
  select.replaceChildren(...names.map((name) => element("option", { value: name }, name || "none")));
  if (names.includes(chosen)) select.value = chosen;
}

async function listScenes(chosen) {
  state.scenes = (await fetchJson("scenes")).scenes;
  const names = state.scenes.map((scene) => scene.name), checked = new Set(sheets());
  list(part("scene"), names, chosen ?? part("scene").value);
  list(part("clouds"), ["", ...names], part("clouds").value);
  part("optical").replaceChildren(...names.map((name) => element("label", {},
    element("input", { type: "checkbox", value: name, checked: checked.has(name) }), name)));
  if (!state.scenes.length) note("the folder holds no scenes yet: upload one.");
}

function timeText(seconds) {
  if (seconds === null) return "";
  return seconds < 90 ? `about ${Math.ceil(seconds)} s left` : `about ${Math.round(seconds / 60)} min left`;
}

function jobText(job) {
  if (job.optical_share !== null) return `${job.message}; the optical image shows ${Math.round(100 * job.optical_share)} % of it`;
  if (job.status !== "running" || !job.km2.total) return job.message;
  return `${job.km2.stage}: ${job.km2.done.toPrecision(3)} of ${job.km2.total.toPrecision(3)} km² ${timeText(job.km2.remaining_s)}`;
}

function jobEntry(job) {
  const final = !["accepted", "running"].includes(job.status);
  const entry = element("li", { id: `job-${job.jobID}`, className: job.status }, element("span", { className: "name" }, job.scene),
    element("span", { className: job.status === "failed" ? "note bad" : "note" }, jobText(job)));
  if (job.status === "running") entry.append(element("progress", { max: 100, value: job.progress }));
  const row = element("div", { className: "row links" });
  if (job.status === "successful") {
    row.append(element("a", { href: `./?map=job-${job.jobID}` }, `${job.footprints} footprints`));
    for (const [kind, text] of Object.entries(KINDS)) row.append(element("a", { href: `jobs/${job.jobID}/results/${kind}`, download: "" }, text));
  }
  const remove = element("button", { type: "button" }, final ? "Remove" : "Cancel");
  remove.addEventListener("click", () => attempt(async () => {
    await fetchJson(`jobs/${job.jobID}`, { method: "DELETE" });
    await listJobs();
  }));
  row.append(remove);
  entry.append(row);
  return entry;
}

function watch(job) {
  if (state.streams.has(job.jobID) || !["accepted", "running"].includes(job.status)) return;
  const stream = new EventSource(`jobs/${job.jobID}/events`);
  state.streams.set(job.jobID, stream);
  stream.addEventListener("status", (event) => {
    const now = JSON.parse(event.data);
    document.getElementById(`job-${now.jobID}`)?.replaceWith(jobEntry(now));
    if (["accepted", "running"].includes(now.status)) return;
    stream.close();
    state.streams.delete(now.jobID);
  });
}

async function listJobs() {
  const { jobs } = await fetchJson("jobs");
  state.jobs = jobs;
  part("jobs").replaceChildren(...jobs.map(jobEntry));
  jobs.slice(0, 4).forEach(watch); // a browser keeps six lines to a server open at once
}

export async function startWork(maplibregl, settings, wanted) {
  build(wanted);
  try {
    state.models = (await fetchJson("models")).models;
    part("model").replaceChildren(...state.models.map((model) => element("option", { value: model.name }, `${model.name} (${model.bands.join(", ")}, ${model.gsd_m} m)`)));
    await listScenes();
    await listJobs();
  } catch (error) { say(error.message, true); }
  for (const id of ["layers-part", "tools"]) part(id).hidden = !wanted;
  if (!wanted) { part("title").textContent = "Overcast"; return; }
  const shown = state.jobs.find((job) => `job-${job.jobID}` === wanted)?.scene;
  const scene = state.scenes.find((one) => one.map === wanted || one.name === shown);
  if (scene) part("scene").value = scene.name;
  state.page = await startPage(maplibregl, serverSource(wanted, settings));
  state.drawing = new Drawing(maplibregl, state.page.left, "#00c853", endDrawing);
}
