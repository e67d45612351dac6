// Sorts tables and lights up a class wherever it is shown; without it the page is complete.
//
// Tables with `data-sortable` get buttons in their heads. What has `data-class` becomes a button: pointed at or focused it
// lights its class up, pressed it stays lit until Escape. `data-masks` of a sample is a PNG with the label in red and the
// prediction in green, from which each picture's shade is drawn.
(() => {
"use strict";
const each = (selector, act, root = document) => root.querySelectorAll(selector).forEach(act);

function asButton(place) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...place.childNodes);
  place.append(button);
  return button;
}

// tables
const said = document.createElement("p");
said.className = "unseen";
said.setAttribute("role", "status");
document.querySelector("main").append(said);

function valueOf(cell, numeric) {
  const data = cell.querySelector("data");
  const text = (data ? data.value : cell.textContent).trim();
  return numeric ? parseFloat(text.replace(/\s/g, "").replace("\u2212", "-")) : text;
}

function compare(a, b) {
  if (typeof a === "string") return a.localeCompare(b, "en", {numeric: true});
  return a - b;
}

function sort(table, head, column, original) {
  const now = head.getAttribute("aria-sort");
  const next = now === "ascending" ? "descending" : now === "descending" ? null : "ascending";
  each("thead th", other => other.removeAttribute("aria-sort"), table);
  if (next) head.setAttribute("aria-sort", next);
  const numeric = head.classList.contains("number") || original.some(row => row.cells[column].querySelector("data"));
  const known = row => !Number.isNaN(valueOf(row.cells[column], numeric));
  const sign = next === "descending" ? -1 : 1;
  const sorted = original.filter(known).sort((one, other) =>
    sign * compare(valueOf(one.cells[column], numeric), valueOf(other.cells[column], numeric)));
  table.tBodies[0].append(...(next ? [...sorted, ...original.filter(row => !known(row))] : original));
  said.textContent = next ? `Sorted by ${head.textContent}, ${next}` : "In the order of the report";
}

each("table[data-sortable]", table => {
  const original = [...table.tBodies[0].rows];
  if (original.length < 2) return;
  each("thead th", (head, column) => asButton(head).addEventListener("click",
    () => sort(table, head, column, original)), table);
});

// classes
let pinned = null;
let lit = null;
const names = new Map();
const buttons = [];

each("[data-class]", place => {
  const index = Number(place.dataset.class);
  const row = place.closest("tr") || place;
  const button = asButton(place);
  names.set(index, button.textContent.trim());
  buttons.push({index, row, button});
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", () => pin(pinned === index ? null : index));
  button.addEventListener("focus", () => light(index));
  button.addEventListener("blur", () => light(pinned));
  row.addEventListener("pointerenter", () => light(index));
  row.addEventListener("pointerleave", () => light(pinned));
});

function pin(index) {
  pinned = index;
  for (const one of buttons) one.button.setAttribute("aria-pressed", String(one.index === index));
  light(index);
}

function light(index) {
  if (index === lit) return;
  lit = index;
  for (const one of buttons) one.row.classList.toggle("lit", one.index === index);
  requestAnimationFrame(() => samples.forEach(shade));
}

document.addEventListener("keydown", event => { if (event.key === "Escape") pin(null); });

// pictures
const samples = [];

each(".panels[data-masks]", panels => {
  const sample = {figures: [], masks: null};
  const readout = document.createElement("p");
  readout.className = "readout note";
  readout.setAttribute("aria-hidden", "true");
  panels.before(readout);
  each("figure[data-panel] .image", image => {
    const canvas = document.createElement("canvas");
    canvas.setAttribute("aria-hidden", "true");
    image.append(canvas);
    const kind = image.parentElement.dataset.panel;
    sample.figures.push({kind, canvas});
    image.addEventListener("pointermove", event => point(sample, kind, image, event, readout));
    image.addEventListener("pointerleave", () => { readout.textContent = ""; light(pinned); });
    image.addEventListener("click", () => pin(pinned === null ? lit : null));
  }, panels);
  read(panels.dataset.masks, sample);
  samples.push(sample);
});

async function read(source, sample) {
  const image = new Image();
  image.src = source;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  const context = canvas.getContext("2d", {willReadFrequently: true});
  context.drawImage(image, 0, 0);
  const masks = context.getImageData(0, 0, canvas.width, canvas.height);
  // browsers that guard against fingerprinting give noise: blue is 0 everywhere
  for (let i = 2; i < masks.data.length; i += 4) if (masks.data[i]) return;
  sample.masks = masks;
  shade(sample);
}

function point(sample, kind, image, event, readout) {
  if (!sample.masks) return;
  const {width, height, data} = sample.masks;
  const box = image.getBoundingClientRect();
  const along = (at, start, length, pixels) =>
    Math.min(pixels - 1, Math.max(0, Math.floor((at - start) / length * pixels)));
  const x = along(event.clientX, box.left, box.width, width);
  const y = along(event.clientY, box.top, box.height, height);
  const [label, predicted] = data.slice(4 * (y * width + x), 4 * (y * width + x) + 2);
  const name = index => names.get(index) || "unlabelled";
  readout.textContent = `labelled ${name(label)}, predicted ${name(predicted)}`;
  const index = kind === "truth" ? label : predicted;
  if (pinned === null) light(names.has(index) ? index : null);
}

function shade({figures, masks}) {
  if (!masks) return;
  for (const {kind, canvas} of figures) {
    canvas.hidden = lit === null;
    if (lit === null) continue;
    canvas.width = masks.width;
    canvas.height = masks.height;
    canvas.getContext("2d").putImageData(shadeOf(masks, kind), 0, 0);
  }
}

// all that is not of the class in the dark, with a bright line around what is
function shadeOf({width, height, data}, kind) {
  const of = i => (kind !== "prediction" && data[4 * i] === lit) || (kind !== "truth" && data[4 * i + 1] === lit);
  const drawn = new ImageData(width, height);
  const pixels = new Uint32Array(drawn.data.buffer);
  const [dark, bright] = [0xc814100c, 0xffffffff];
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (of(i)) continue;
      const edge = (x > 0 && of(i - 1)) || (x < width - 1 && of(i + 1)) || (y > 0 && of(i - width))
        || (y < height - 1 && of(i + width));
      pixels[i] = edge ? bright : dark;
    }
  }
  return drawn;
}

// how much of the picture shows through a layer
each(".views", views => {
  const label = document.createElement("label");
  const slider = document.createElement("input");
  Object.assign(slider, {type: "range", min: 10, max: 100, step: 5, value: 70, id: "opacity"});
  slider.addEventListener("input", () => {
    document.getElementById("pictures").style.setProperty("--opacity", slider.value / 100);
  });
  label.append("layer over picture ", slider);
  label.className = "slider";
  views.append(label);
});
// folded parts: open for a link into them, and for paper
function reveal() {
  const id = decodeURIComponent(location.hash.slice(1));
  for (let place = id && document.getElementById(id); place; place = place.parentElement) {
    if (place.localName === "details") place.open = true;
  }
}
addEventListener("hashchange", reveal);
each("a[href^='#']", link => link.addEventListener("click", () => setTimeout(reveal)));
addEventListener("beforeprint", () => each("details", part => { part.open = true; }));
reveal();
document.documentElement.dataset.ready = "";
})();
