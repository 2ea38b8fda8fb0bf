/* The trend page: lines a backend, intervals where there are any, dashed lines where versions changed. The choice of
 * metric, model and backend is in the address. */
"use strict";

document.documentElement.dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
const metric = $("metric"), model = $("model"), backend = $("backend");
const EVERY = "all", HEIGHT = 420, TOP = 20, BOTTOM = 44, APART = 13;  // px; APART between two names at lines' ends
const chosen = new URLSearchParams(location.hash.slice(1));

/* The newest point of each line whose name has room, from the top; the others' names are in the tip and the table. */
function named(points, domain) {
  const last = [...d3.rollup(points, (own) => own.at(-1), (point) => point.backend).values()];
  const place = d3.scaleLog(domain, [HEIGHT - BOTTOM, TOP]);
  let free = -Infinity;
  return d3.sort(last, (point) => place(point.ratio)).filter((point) => {
    const room = place(point.ratio) >= free;
    if (room) free = place(point.ratio) + APART;
    return room;
  });
}

function options(select, names, wanted) {
  select.replaceChildren(...names.map((name) => element("option", { value: name, selected: name === wanted }, name)));
}

function show() {
  const measured = ((DATA[metric.value] || {})[model.value] || []).filter((point) => point.ratio !== null);
  options(backend, [EVERY, ...new Set(measured.map((point) => point.backend))], backend.value || chosen.get("backend") || EVERY);
  const points = backend.value === EVERY ? measured : measured.filter((point) => point.backend === backend.value);
  const behind = backend.value === EVERY ? [] : measured.filter((point) => point.backend !== backend.value);
  const domain = [d3.min(measured, (point) => point.ratio) / 1.2, d3.max(measured, (point) => point.ratio) * 1.2];
  const runs = [...new Set(points.map((point) => point.run_id))];
  const marks = runs.map((run) => points.find((point) => point.run_id === run)).filter((point) => point.changed);
  const title = (point) => `${point.backend}\n${digits(point.ratio)} × floor` +
    (point.low === null ? "" : ` (${digits(point.low)} to ${digits(point.high)})`) + `\n${seconds(point.median_s)}, ${point.rounds} rounds\n${point.started}`;
  $("chart").replaceChildren(points.length ? Plot.plot({
    width: Math.min(document.querySelector("main").clientWidth, 1100), height: HEIGHT, marginTop: TOP, marginLeft: 54, marginRight: 150, marginBottom: BOTTOM,
    x: { type: "point", domain: runs, label: "run →", tickFormat: (run) => points.find((point) => point.run_id === run).started.slice(0, 10) },
    y: { type: "log", label: "↑ × floor", grid: true, tickFormat: "~g", domain },
    color: { scheme: "Observable10" },
    marks: [
      Plot.ruleX(marks, { x: "run_id", stroke: "currentColor", strokeDasharray: "4 4", title: "changed" }),
      Plot.ruleX(points.filter((point) => point.low !== null), { x: "run_id", y1: "low", y2: "high", stroke: "backend", strokeWidth: 4, strokeOpacity: .3, clip: true }),
      Plot.line(behind, { x: "run_id", y: "ratio", z: "backend", stroke: "currentColor", strokeOpacity: .15 }),
      Plot.line(points, { x: "run_id", y: "ratio", z: "backend", stroke: "backend" }),
      Plot.dot(points, { x: "run_id", y: "ratio", fill: "backend", r: 3.5 }),
      Plot.text(named(points, domain), { x: "run_id", y: "ratio", text: "backend", textAnchor: "start", dx: 8, fill: "currentColor" }),
      Plot.tip(points, Plot.pointer({ x: "run_id", y: "ratio", title, fill: "var(--bg)" })),
    ],
  }) : element("p", {}, "No run has costs of this model."));
  const newest = runs.toReversed().map((run) => points.filter((point) => point.run_id === run));
  const row = (head, cells) => element("tr", {}, element("th", { scope: "row" }, head), ...cells.map((text) => element("td", {}, text)));
  $("figures").replaceChildren(
    element("thead", {}, element("tr", {}, ...["× floor", ...newest.map((own) => own[0].started)].map((name) => element("th", { scope: "col" }, name)))),
    element("tbody", {}, ...[...new Set(points.map((point) => point.backend))].map((name) =>
      row(name, newest.map((own) => own.filter((point) => point.backend === name).map((point) => digits(point.ratio)).join() || "–"))),
    row("changed since the run before", newest.map((own) => own[0].changed || "–"))));
  history.replaceState(null, "", `#${new URLSearchParams({ metric: metric.value, model: model.value, backend: backend.value })}`);
}

options(metric, Object.keys(DATA), chosen.get("metric"));
options(model, Object.keys(DATA[metric.value] || {}), chosen.get("model"));
metric.addEventListener("change", () => { options(model, Object.keys(DATA[metric.value]), model.value); show(); });
model.addEventListener("change", show);
backend.addEventListener("change", show);
document.querySelectorAll(".scroll").forEach((one) => overflow.observe(one));
show();
