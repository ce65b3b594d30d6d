const packed = JSON.parse(document.getElementById("overcast-packed").textContent);
const unpack = (text) => {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
};
const address = (text) => URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
const maplibregl = await import(address(await unpack(packed.maplibre)));
maplibregl.setWorkerUrl(address(await unpack(packed.worker)));
const page = await import(address(await unpack(packed.page)));
await page.startPage(maplibregl, page.exportedSource(JSON.parse(await unpack(packed.data))));
