// Draws the map of confusions: labels downwards, predictions to the right; the diagonal is what is right.
(() => {
"use strict";
const VIEWS = {
  label: "share of the label's pixels",
  predicted: "share of the predicted pixels",
  pixels: "pixels",
};

function element(name, given, ...children) {
  const made = Object.assign(document.createElement(name), given);
  made.append(...children);
  return made;
}

function ink(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

document.querySelectorAll("[data-confusions]").forEach(place => {
  const {names, parts, pairs, ids, grouped} = JSON.parse(place.dataset.confusions);
  const listed = names.map((_, index) => index);
  const found = new Map(pairs.map(pair => [`${pair[0]} ${pair[1]}`, pair]));
  let [view, order, at] = ["label", listed, [0, 0]];

  const canvas = element("canvas", {tabIndex: 0});
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `Map of the confusions of ${place.dataset.whose}; its largest stand in the table below`);
  const said = element("p", {className: "note said"});
  said.setAttribute("role", "status");
  const images = element("p", {className: "note"});
  const choices = element("fieldset", {className: "choices"}, element("legend", {textContent: "Colour"}));
  for (const [kind, text] of Object.entries(VIEWS)) {
    const input = element("input", {type: "radio", name: "confusions", checked: kind === view});
    input.addEventListener("change", () => { view = kind; draw(); });
    choices.append(element("label", {}, input, text));
  }
  const together = element("input", {type: "checkbox"});
  together.addEventListener("change", () => { order = together.checked ? grouped : listed; draw(); });
  choices.append(element("label", {}, together, "confused classes side by side"));
  place.append(choices, said, canvas, images);

  const pixelsOf = (label, predicted) => label === predicted ? parts[label][0] : (found.get(`${label} ${predicted}`) || [0, 0, 0])[2];
  const whole = {label: (l) => parts[l][1], predicted: (_, p) => parts[p][2]};
  const most = Math.max(...pairs.map(pair => pair[2]), 1);
  const strength = (label, predicted) => {
    const pixels = pixelsOf(label, predicted);
    if (!pixels) return 0;
    if (view === "pixels") return Math.min(1, Math.log1p(pixels) / Math.log1p(most));
    return Math.sqrt(pixels / Math.max(whole[view](label, predicted), 1));
  };

  let [side, left, top] = [10, 0, 0];

  function draw() {
    const count = names.length;
    const context = canvas.getContext("2d");
    const font = "12px system-ui, sans-serif";
    context.font = font;
    const named = count <= 42;
    const widest = Math.max(...names.map(name => context.measureText(name).width));
    const space = Math.min(place.clientWidth, 900);
    left = named ? Math.min(widest + 8, 0.3 * space) : 2;
    top = named ? Math.min(widest + 8, 130) : 2;
    side = Math.max(3, Math.min(34, Math.floor((space - left - 2) / count)));
    const [width, height] = [left + side * count + 2, top + side * count + 2];
    const ratio = devicePixelRatio || 1;
    Object.assign(canvas, {width: Math.round(width * ratio), height: Math.round(height * ratio)});
    canvas.style.width = `${width}px`;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.font = font;
    context.fillStyle = ink("--panel");
    context.fillRect(left, top, side * count, side * count);
    order.forEach((label, row) => order.forEach((predicted, column) => {
      context.globalAlpha = strength(label, predicted);
      if (!context.globalAlpha) return;
      context.fillStyle = label === predicted ? ink("--fill") : ink("--wrong");
      context.fillRect(left + side * column, top + side * row, side - (side > 5), side - (side > 5));
    }));
    context.globalAlpha = 1;
    context.fillStyle = ink("--soft");
    if (named && side >= 9) order.forEach((index, place) => {
      context.textAlign = "right";
      context.fillText(names[index], left - 6, top + side * (place + 0.5) + 4, left - 8);
      context.save();
      context.translate(left + side * (place + 0.5) + 4, top - 6);
      context.rotate(-Math.PI / 2);
      context.textAlign = "left";
      context.fillText(names[index], 0, 0, top - 8);
      context.restore();
    });
    context.strokeStyle = ink("--ink");
    context.lineWidth = 2;
    context.strokeRect(left + side * at[1], top + side * at[0], side, side);
  }

  function tell() {
    const [label, predicted] = [order[at[0]], order[at[1]]];
    const pixels = pixelsOf(label, predicted);
    const part = (of) => `${(100 * pixels / Math.max(of, 1)).toFixed(2)} %`;
    const what = label === predicted ? `${names[label]}, right` : `${names[label]} taken for ${names[predicted]}`;
    said.textContent = `${what}: ${pixels.toLocaleString("en").replaceAll(",", "\u202f")} pixels, ${part(parts[label][1])} of those `
      + `labelled ${names[label]}, ${part(parts[predicted][2])} of those predicted ${names[predicted]}`;
  }

  function list() {
    const [label, predicted] = [order[at[0]], order[at[1]]];
    const pair = found.get(`${label} ${predicted}`);
    images.replaceChildren(pair ? `${names[label]} taken for ${names[predicted]}, most in: ` : "");
    (pair || []).slice(3).forEach((image, number) => {
      const id = `image-${ids[image]}`;
      const link = element("a", {href: `#${encodeURIComponent(id)}`, textContent: ids[image]});
      images.append(number ? ", " : "", document.getElementById(id) ? link : ids[image]);
    });
  }

  function move(row, column) {
    const last = names.length - 1;
    at = [row, column].map(value => Math.min(last, Math.max(0, value)));
    draw();
    tell();
  }

  canvas.addEventListener("pointermove", event => {
    const box = canvas.getBoundingClientRect();
    const [row, column] = [event.clientY - box.top - top, event.clientX - box.left - left].map(value => Math.floor(value / side));
    if (row >= 0 && column >= 0 && (row !== at[0] || column !== at[1])) move(row, column);
  });
  canvas.addEventListener("click", list);
  canvas.addEventListener("keydown", event => {
    const step = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[event.key];
    if (step) move(at[0] + step[0], at[1] + step[1]);
    else if (event.key === "Enter") list();
    else return;
    event.preventDefault();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  new ResizeObserver(draw).observe(place);
});
})();
