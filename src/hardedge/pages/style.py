"""The report's style sheet: system fonts, light and dark, narrow screens, print."""

from typing import Final

CSS: Final = """
:root {
  color-scheme: light dark;
  --page: #ffffff; --panel: #f5f6f8; --line: #d9dde3; --ink: #191d23; --soft: #56606d; --accent: #2b62a8;
  --good: #0d6238; --good-bg: #dcf3e4; --bad: #a3151f; --bad-bg: #fbe2e2; --open: #7a4b00; --open-bg: #fcedc8;
  --none: #4d5662; --none-bg: #e8ebef; --fill: #9db8d9; --tick: #191d23;
  --lit: #e6eefa;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14171b; --panel: #1c2026; --line: #343a43; --ink: #e4e7eb; --soft: #a3acb8; --accent: #86b4ee;
    --good: #86dba8; --good-bg: #12351f; --bad: #ffa19c; --bad-bg: #451719; --open: #f0c265; --open-bg: #3b2c08;
    --none: #b7c0cb; --none-bg: #2b3038; --fill: #3e618d; --tick: #f2f4f7;
    --lit: #22324a;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: 28px 32px 64px; max-width: 1240px; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial, sans-serif;
  font-variant-numeric: tabular-nums;
}
code { font: 0.9em/1.4 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace;
  overflow-wrap: anywhere; }
a { color: var(--accent); }
h1 { margin: 2px 0 0; font-size: 25px; line-height: 1.25; font-weight: 650; letter-spacing: -0.01em;
  overflow-wrap: anywhere; }
h2 { margin: 0 0 10px; padding-top: 14px; border-top: 1px solid var(--line); font-size: 18px; font-weight: 650; }
h3 { margin: 22px 0 6px; font-size: 15px; font-weight: 650; overflow-wrap: anywhere; }
section { margin-top: 34px; }
p { margin: 0 0 8px; max-width: 84ch; }
p.note { max-width: 110ch; }
.kicker, .note, caption, dt, figcaption { color: var(--soft); font-size: 13px; }
.kicker { margin: 0; }
.verdict { margin-top: 18px; padding: 18px 22px 10px; border-radius: 8px; border: 1px solid; border-left-width: 8px; }
.verdict > .word { margin: 0; font-size: 30px; line-height: 1.15; font-weight: 700; letter-spacing: 0.01em; }
.verdict > .why { margin: 4px 0 12px; color: var(--ink); font-size: 16px; max-width: none; }
.verdict.good { background: var(--good-bg); color: var(--good); border-color: var(--good); }
.verdict.bad { background: var(--bad-bg); color: var(--bad); border-color: var(--bad); }
.verdict.open { background: var(--open-bg); color: var(--open); border-color: var(--open); }
.findings { margin: 16px 0 0; padding: 0; list-style: none; border-bottom: 1px solid var(--line); }
.findings li { display: grid; grid-template-columns: 150px 130px 1fr; gap: 4px 16px; padding: 8px 0;
  border-top: 1px solid var(--line); align-items: baseline; }
.findings b { font-weight: 600; overflow-wrap: anywhere; min-width: 0; }
.findings p { margin: 0; }
.badge { display: inline-block; padding: 1px 9px; border-radius: 10px; font-size: 13px; font-weight: 600;
  white-space: nowrap; justify-self: start; }
.badge.good { color: var(--good); background: var(--good-bg); }
.badge.bad { color: var(--bad); background: var(--bad-bg); }
.badge.open { color: var(--open); background: var(--open-bg); }
.badge.none { color: var(--none); background: var(--none-bg); }
nav { display: flex; flex-wrap: wrap; gap: 4px 16px; margin-top: 14px; font-size: 13px; }
nav a { text-decoration: none; }
nav a:hover { text-decoration: underline; }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(170px, 1fr)); gap: 12px 24px;
  margin: 14px 0 6px; }
.facts dd { margin: 0; overflow-wrap: anywhere; }
.key dd { font-size: 19px; font-weight: 600; line-height: 1.3; }
.key dd code { font-size: 16px; font-weight: 500; }
.level { display: grid; grid-template-columns: 1fr auto; gap: 0 12px; align-items: baseline; }
.level h3 { margin-bottom: 2px; }
.scroll { overflow-x: auto; margin: 8px 0 14px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
caption { text-align: left; padding-bottom: 4px; }
th, td { padding: 5px 14px 5px 0; text-align: left; vertical-align: baseline; border-bottom: 1px solid var(--line); }
th:last-child, td:last-child { padding-right: 4px; }
thead th { color: var(--soft); font-size: 13px; font-weight: 500; vertical-align: bottom; }
tbody th { font-weight: 500; }
table code, .classes tbody th, .classes thead th { white-space: nowrap; }
.number { text-align: right; white-space: nowrap; }
.number + :is(th, td):not(.number) { padding-left: 14px; }
.chip { display: inline-block; width: 12px; height: 12px; margin-right: 8px; border-radius: 3px; vertical-align: -1px;
  box-shadow: inset 0 0 0 1px rgb(128 128 128 / 0.55); print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.chip, .ramp, .gauge * { forced-color-adjust: none; }
.gauge { display: block; position: relative; width: 100%; min-width: 120px; height: 11px; border-radius: 2px;
  background: var(--panel); box-shadow: inset 0 0 0 1px var(--line); overflow: hidden; }
.gauge i { position: absolute; inset: 0 auto 0 0; background: var(--fill); }
.gauge u { position: absolute; top: 0; bottom: 0; width: 2px; margin-left: -1px; background: var(--tick); }
.classes td:last-child { width: 34%; vertical-align: middle; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr)); gap: 20px 40px; }
figure { margin: 0; min-width: 0; }
figure > figcaption:first-child { margin-bottom: 6px; }
.plots figcaption { margin-bottom: 8px; color: var(--ink); }
.chart { display: block; overflow: visible; font-size: 12px; }
.chart text { fill: var(--ink); }
.chart .tick { fill: var(--soft); }
.chart .bar, .chart .interval { fill: var(--fill); }
.chart .interval { fill: var(--accent); }
.chart .dot { fill: var(--page); stroke: var(--accent); stroke-width: 2.5; }
.chart .beaten { fill: var(--page); stroke: var(--soft); stroke-width: 1.5; stroke-dasharray: 3 2; }
.chart .front { stroke: var(--accent); stroke-width: 1.5; opacity: .5; }
.chart .arrow { fill: var(--accent); font-size: 16px; }
.chart .axis, .chart .zero { stroke: var(--line); }
.chart .zero { stroke: var(--soft); stroke-dasharray: 3 3; }
.chart .mark { stroke: var(--ink); stroke-width: 1; }
.chart .band { fill: var(--good-bg); }
.legend { display: flex; flex-wrap: wrap; gap: 3px 18px; margin: 8px 0 4px; padding: 0; list-style: none;
  font-size: 13px; }
.ramp { display: inline-block; width: 110px; height: 10px; border-radius: 2px; vertical-align: 0; margin: 0 6px;
  print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.sample { margin-top: 20px; }
.sample h3 { margin-top: 0; }
.panels { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 14px; }
.image { position: relative; }
.image canvas { position: absolute; inset: 0; width: 100%; height: 100%; border-radius: 3px; pointer-events: none; }
.panels img { display: block; width: 100%; height: auto; border-radius: 3px; background: var(--panel); }
.panels .blocky { image-rendering: pixelated; }
.panels figcaption { margin-top: 3px; }
.panels .facts { grid-template-columns: 1fr 1fr; align-content: start; margin: 0; gap: 8px 16px; font-size: 14px; }
.readout { min-height: 20px; margin: 0 0 4px; }
.views { position: sticky; top: 0; z-index: 1; background: var(--page);
  display: flex; flex-wrap: wrap; gap: 4px 18px; align-items: center; margin: 14px 0 4px; padding: 6px 12px 8px;
  border: 1px solid var(--line); border-radius: 6px; font-size: 14px; min-width: 0; }
.views legend { padding: 0 6px; color: var(--soft); font-size: 13px; }
.views label { display: inline-flex; gap: 6px; align-items: center; }
.views input { accent-color: var(--accent); margin: 0; }
.views .slider { display: none; }
@media screen {
  .views:not(:has(#view-panels:checked)) .slider { display: inline-flex; }
  .views:not(:has(#view-panels:checked)) ~ .sample .panels { grid-template-columns: minmax(0, 640px) minmax(0, 1fr); }
  .views:not(:has(#view-panels:checked)) ~ .sample .panels > * { grid-area: 1 / 1; }
  .views:not(:has(#view-panels:checked)) ~ .sample .panels > .facts { grid-area: 1 / 2; }
  .views:not(:has(#view-panels:checked)) ~ .sample .panels > [data-panel]:not([data-panel="picture"]) { display: none; }
  .views:has(#view-truth:checked) ~ .sample .panels > figure[data-panel="truth"][data-panel],
  .views:has(#view-prediction:checked) ~ .sample .panels > figure[data-panel="prediction"][data-panel],
  .views:has(#view-errors:checked) ~ .sample .panels > figure[data-panel="errors"][data-panel],
  .views:has(#view-hardness:checked) ~ .sample .panels > figure[data-panel="hardness"][data-panel],
  .views:has(#view-stable:checked) ~ .sample .panels > figure[data-panel="stable"][data-panel] { display: block; }
  .views:not(:has(#view-panels:checked)) ~ .sample [data-panel]:not([data-panel="picture"]) img {
    opacity: var(--opacity, 0.7); }
  .views:not(:has(#view-panels:checked)) ~ .sample [data-panel="picture"] :is(canvas, figcaption) {
    visibility: hidden; }
  .views:not(:has(#view-panels:checked)) ~ .sample figure > .note { position: relative; padding: 6px 8px;
    background: var(--page); }
}
@supports not selector(:has(*)) { .views { display: none; } }
button { font: inherit; color: inherit; background: none; border: 0; padding: 0; margin: 0; text-align: inherit;
  letter-spacing: inherit; cursor: pointer; border-radius: 3px; white-space: inherit; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
[data-class] button { padding: 2px 4px; margin: -2px -4px; }
[data-class] button:hover, thead button:hover { text-decoration: underline; }
[data-class] button[aria-pressed="true"] { box-shadow: inset 0 0 0 2px var(--accent); }
tr.lit > *, .legend .lit { background: var(--lit); }
thead button::after { content: "\\2195"; content: "\\2195" / ""; opacity: .55; margin-left: 4px; }
th[aria-sort="ascending"] button::after { content: "\\2191"; content: "\\2191" / ""; opacity: 1; }
th[aria-sort="descending"] button::after { content: "\\2193"; content: "\\2193" / ""; opacity: 1; }
.unseen { position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%); }
footer { margin-top: 40px; padding-top: 10px; border-top: 1px solid var(--line); color: var(--soft); font-size: 13px; }
@media (min-width: 721px) { tbody th { white-space: nowrap; } }
@media (max-width: 720px) {
  body { padding: 16px 14px 40px; }
  h1 { font-size: 21px; }
  .verdict { padding: 14px 14px 6px; }
  .findings li { grid-template-columns: 1fr auto; }
  .findings p { grid-column: 1 / -1; }
  .facts { grid-template-columns: 1fr 1fr; }
  .panels { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 10px; }
  .panels .facts { grid-template-columns: 1fr; }
  table { font-size: 13px; }
  th, td { padding-right: 10px; }
  .gauge { min-width: 70px; }
}
@media screen and (max-width: 720px) {
  .views:not(:has(#view-panels:checked)) ~ .sample .panels { grid-template-columns: minmax(0, 1fr); }
  .views:not(:has(#view-panels:checked)) ~ .sample .panels > .facts { grid-area: 2 / 1;
    grid-template-columns: 1fr 1fr; }
}
@media print {
  @page { size: A4; margin: 14mm 13mm; }
  :root {
    color-scheme: light;
    --page: #fff; --panel: #f5f6f8; --line: #c9ced6; --ink: #000; --soft: #444c57; --accent: #2b62a8;
    --good: #0d6238; --good-bg: #dcf3e4; --bad: #a3151f; --bad-bg: #fbe2e2; --open: #7a4b00; --open-bg: #fcedc8;
    --none: #4d5662; --none-bg: #e8ebef; --fill: #9db8d9; --tick: #000;
  }
  body { padding: 0; max-width: none; font-size: 10pt; }
  nav, .views, .readout, .image canvas, thead button::after { display: none; }
  tr.lit > *, .legend .lit { background: none; }
  table, thead th, caption { font-size: 8pt; }
  th, td { padding-right: 6px; }
  .classes thead th, tbody th { white-space: normal; }
  .badge { font-size: 8pt; padding: 0 6px; }
  .findings li { grid-template-columns: 150px 120px 1fr; }
  .findings p { grid-column: auto; }
  section { margin-top: 18px; }
  #pictures { break-before: page; }
  .scroll { overflow: visible; }
  .panels { grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 8px; }
  .panels .facts { grid-column: 1 / -1; grid-template-columns: repeat(5, 1fr); }
  h2, h3, caption, .level, .level + p { break-after: avoid; }
  tr, li, figure, .sample, .verdict, .facts, .plots > figure { break-inside: avoid; }
  thead { display: table-header-group; }
  .badge, .verdict, .gauge, .gauge i, .gauge u { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
