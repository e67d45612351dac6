// The gallery of test images: sorted, filtered, coloured, and enlarged with a line between truth and prediction.
(() => {
"use strict";
const LAYERS = {picture: "picture", truth: "truth", prediction: "prediction", errors: "errors"};

function element(name, given, ...children) {
  const made = Object.assign(document.createElement(name), given);
  made.append(...children);
  return made;
}

function choice(text, options, act) {
  const select = element("select", {});
  for (const [value, name] of Object.entries(options)) select.append(element("option", {value, textContent: name}));
  select.addEventListener("change", () => act(select.value));
  return element("label", {}, `${text} `, select);
}

async function masksOf(source) {
  const image = new Image();
  image.src = source;
  await image.decode();
  const canvas = element("canvas", {width: image.naturalWidth, height: image.naturalHeight});
  const context = canvas.getContext("2d", {willReadFrequently: true});
  context.drawImage(image, 0, 0);
  const masks = context.getImageData(0, 0, canvas.width, canvas.height);
  // browsers that guard against fingerprinting give noise: blue is 0 everywhere
  for (let i = 2; i < masks.data.length; i += 4) if (masks.data[i]) return null;
  return masks;
}

document.querySelectorAll("[data-gallery]").forEach(grid => {
  const {names, colors, ignored, sorts} = JSON.parse(grid.dataset.gallery);
  const items = [...grid.children];
  const read = new Map();
  const masks = item => {
    if (!read.has(item)) read.set(item, item.dataset.masks ? masksOf(item.dataset.masks) : Promise.resolve(null));
    return read.get(item);
  };
  const name = index => names[index] || "unlabelled";

  // truth (0) or prediction (1) in class colours; errors as a pattern over the picture
  function painted(found, layer, until = Infinity) {
    const {width, height, data} = found;
    const drawn = new ImageData(width, height);
    for (let i = 0, at = 0; i < data.length; i += 4, at++) {
      const [label, predicted] = [data[i], data[i + 1]];
      const kind = layer === "swipe" ? (at % width < until ? "truth" : "prediction") : layer;
      if (kind === "errors") {
        if (label === ignored) drawn.data.set([0, 0, 0, 150], i);
        else if (label !== predicted) drawn.data.set((at % width + Math.floor(at / width)) % 4 < 2 ? [255, 255, 255, 255] : [0, 0, 0, 255], i);
        continue;
      }
      const color = colors[kind === "truth" ? label : predicted];
      drawn.data.set(color ? [...color, 255] : [0, 0, 0, 255], i);
    }
    return drawn;
  }

  async function paint(canvas, item, layer, until) {
    const found = layer === "picture" ? null : await masks(item);
    canvas.hidden = !found;
    if (!found) return;
    Object.assign(canvas, {width: found.width, height: found.height});
    canvas.getContext("2d").putImageData(painted(found, layer, until), 0, 0);
  }

  // the grid
  let layer = "picture";
  const seen = new IntersectionObserver(entries => entries.forEach(entry => {
    entry.target.dataset.near = entry.isIntersecting ? "" : "no";
    if (entry.isIntersecting) show(entry.target);
  }), {rootMargin: "200px"});

  function show(item) {
    const image = item.querySelector(".image");
    if (!image.querySelector("img")) return;
    let canvas = image.querySelector("canvas");
    if (!canvas && layer === "picture") return;
    if (!canvas) {
      canvas = element("canvas", {});
      canvas.setAttribute("aria-hidden", "true");
      image.append(canvas);
    }
    paint(canvas, item, layer);
  }
  items.forEach(item => seen.observe(item));

  const said = element("p", {className: "note"});
  said.setAttribute("role", "status");
  const tell = () => {
    const left = items.filter(item => !item.hidden).length;
    said.textContent = left === items.length ? `${left} images` : `${left} of ${items.length} images`;
  };
  const sort = kind => {
    const value = item => Number(item.dataset[kind] ?? -1);
    const ascending = kind === "order" || kind === "miou";
    const known = item => item.dataset[kind] !== undefined;
    items.sort((a, b) => known(b) - known(a) || (ascending ? value(a) - value(b) : value(b) - value(a)) || a.dataset.order - b.dataset.order);
    grid.append(...items);
  };
  const filter = index => {
    for (const item of items) item.hidden = index !== "all" && !item.dataset.classes.split(" ").includes(index);
    tell();
  };
  const classes = {all: "any class", ...Object.fromEntries(names.map((text, index) => [`${index} `, text]))};
  const tools = element("fieldset", {className: "choices"}, element("legend", {textContent: "Gallery"}),
    choice("sort by", sorts, sort),
    choice("with", classes, value => filter(value.trim())),
    choice("show", LAYERS, value => { layer = value; items.filter(item => item.dataset.near === "").forEach(show); }));
  grid.before(tools, said);
  tell();

  // the large view
  const dialog = element("dialog", {className: "viewer"});
  const title = element("h3", {id: "viewer-title"});
  dialog.setAttribute("aria-labelledby", "viewer-title");
  const picture = element("img", {alt: ""});
  const canvas = element("canvas", {});
  canvas.setAttribute("aria-hidden", "true");
  const stage = element("div", {className: "stage"}, picture, canvas);
  const frame = element("div", {className: "frame", tabIndex: 0}, stage);
  frame.setAttribute("role", "region");
  frame.setAttribute("aria-label", "Enlarged image");
  const readout = element("p", {className: "note"});
  const facts = element("p", {className: "note"});
  const range = (text, given) => {
    const input = element("input", {type: "range", ...given});
    input.addEventListener("input", redraw);
    return [element("label", {}, `${text} `, input), input];
  };
  const [lineLabel, line] = range("truth | prediction", {min: 0, max: 100, value: 50});
  const [opacityLabel, opacity] = range("over the picture", {min: 0, max: 100, value: 75});
  const [zoomLabel, zoom] = range("zoom", {min: 1, max: 8, step: 0.5, value: 1});
  let [open, large] = [null, null];
  const over = choice("show", {swipe: "truth | prediction", truth: "truth", prediction: "prediction", errors: "errors"}, redraw);
  const button = (text, act) => {
    const made = element("button", {type: "button", textContent: text, className: "tool"});
    made.addEventListener("click", act);
    return made;
  };
  dialog.append(
    element("div", {className: "choices"}, title, button("previous", () => step(-1)), button("next", () => step(1)),
      button("close", () => dialog.close())),
    element("div", {className: "choices"}, over, lineLabel, opacityLabel, zoomLabel), frame, readout, facts);
  grid.after(dialog);

  async function redraw() {
    if (!open) return;
    const kind = over.querySelector("select").value;
    lineLabel.hidden = kind !== "swipe";
    const item = large || open;
    const found = await masks(item);
    stage.style.setProperty("--line-at", kind === "swipe" ? `${line.value}%` : "-10%");
    stage.style.width = `${100 * zoom.value}%`;
    canvas.style.opacity = opacity.value / 100;
    if (found) await paint(canvas, item, kind, found.width * line.value / 100);
  }

  function view(item) {
    open = item;
    const id = item.id.slice("image-".length);
    // a chosen image stands on the page in full size
    large = document.getElementById(`chosen-${id}`)?.querySelector("[data-masks]") || null;
    const source = large ? large.querySelector("[data-panel='picture'] img") : item.querySelector("img");
    picture.src = source ? source.src : "data:,";
    title.textContent = id;
    readout.textContent = "";
    const told = {wrong: "pixels wrong", miou: "mIoU", differs: "pixels unlike the reference's", hardness: "mean hardness"};
    facts.textContent = Object.entries(told).filter(([key]) => item.dataset[key] !== undefined)
      .map(([key, text]) => `${text} ${Number(item.dataset[key]).toFixed(2)} %`).join(" · ");
    if (!dialog.open) dialog.showModal();
    redraw();
  }

  function step(by) {
    const shown = items.filter(item => !item.hidden);
    const next = shown[(shown.indexOf(open) + by + shown.length) % shown.length];
    if (next) location.hash = `#${encodeURIComponent(next.id)}`;
  }

  frame.addEventListener("pointermove", async event => {
    const found = await masks(large || open);
    if (!found) return;
    const box = stage.getBoundingClientRect();
    const along = (at, start, length, pixels) => Math.floor((at - start) / length * pixels);
    const x = along(event.clientX, box.left, box.width, found.width);
    const y = along(event.clientY, box.top, box.height, found.height);
    if (x < 0 || y < 0 || x >= found.width || y >= found.height) return;
    const at = 4 * (y * found.width + x);
    readout.textContent = `labelled ${name(found.data[at])}, predicted ${name(found.data[at + 1])}`;
  });
  dialog.addEventListener("keydown", event => {
    if (event.target.localName === "input" || event.target.localName === "select") return;
    if (event.key === "ArrowRight") step(1);
    if (event.key === "ArrowLeft") step(-1);
  });
  dialog.addEventListener("close", () => {
    const item = open;
    open = null;
    if (item && location.hash === `#${encodeURIComponent(item.id)}`) location.hash = "#all-test-images";
    item?.querySelector("a").focus();
  });

  function follow() {
    const item = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (item && item.parentElement === grid) view(item);
    else if (dialog.open) dialog.close();
  }
  addEventListener("hashchange", follow);
  follow();
});
})();
