/* The trend page: lines a backend, intervals where there are any, dashed lines where versions changed. The choice of
 * metric and model is in the address. */
"use strict";

document.documentElement.dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
const metric = $("metric"), model = $("model");
const chosen = new URLSearchParams(location.hash.slice(1));

function options(select, names, wanted) {
  select.replaceChildren(...names.map((name) => element("option", { value: name, selected: name === wanted }, name)));
}

function show() {
  const points = ((DATA[metric.value] || {})[model.value] || []).filter((point) => point.ratio !== null);
  const runs = [...new Set(points.map((point) => point.run_id))];
  const marks = runs.map((run) => points.find((point) => point.run_id === run)).filter((point) => point.changed);
  const title = (point) => `${point.backend}\n${digits(point.ratio)} × floor` +
    (point.low === null ? "" : ` (${digits(point.low)} to ${digits(point.high)})`) + `\n${seconds(point.median_s)}, ${point.rounds} rounds\n${point.started}`;
  $("chart").replaceChildren(points.length ? Plot.plot({
    width: Math.min(document.querySelector("main").clientWidth, 1100), height: 420, marginLeft: 54, marginRight: 150, marginBottom: 44,
    x: { type: "point", domain: runs, label: "run →", tickFormat: (run) => points.find((point) => point.run_id === run).started.slice(0, 10) },
    y: { type: "log", label: "↑ × floor", grid: true, tickFormat: "~g", nice: true },
    color: { scheme: "Observable10" },
    marks: [
      Plot.ruleX(marks, { x: "run_id", stroke: "currentColor", strokeDasharray: "4 4", title: "changed" }),
      Plot.ruleX(points.filter((point) => point.low !== null), { x: "run_id", y1: "low", y2: "high", stroke: "backend", strokeWidth: 4, strokeOpacity: .3 }),
      Plot.line(points, { x: "run_id", y: "ratio", stroke: "backend" }),
      Plot.dot(points, { x: "run_id", y: "ratio", fill: "backend", r: 3.5 }),
      Plot.text(points, Plot.selectLast({ x: "run_id", y: "ratio", z: "backend", text: "backend", textAnchor: "start", dx: 8, fill: "currentColor" })),
      Plot.tip(points, Plot.pointer({ x: "run_id", y: "ratio", title, fill: "var(--bg)" })),
    ],
  }) : element("p", {}, "No run has costs of this model."));
  const names = [...new Set(points.map((point) => point.backend))];
  $("figures").replaceChildren(
    element("caption", {}, `${model.value}: ${metric.value}, × floor`),
    element("thead", {}, element("tr", {}, ...["run", ...names, "changed since the run before"].map((name) => element("th", { scope: "col" }, name)))),
    element("tbody", {}, ...runs.map((run) => {
      const of = Object.fromEntries(points.filter((point) => point.run_id === run).map((point) => [point.backend, point]));
      const first = Object.values(of)[0];
      return element("tr", {}, element("th", { scope: "row" }, first.started), ...names.map((name) => element("td", {}, of[name] ? digits(of[name].ratio) : "–")), element("td", {}, first.changed));
    })));
  history.replaceState(null, "", `#${new URLSearchParams({ metric: metric.value, model: model.value })}`);
}

options(metric, Object.keys(DATA), chosen.get("metric"));
options(model, Object.keys(DATA[metric.value] || {}), chosen.get("model"));
metric.addEventListener("change", () => { options(model, Object.keys(DATA[metric.value]), model.value); show(); });
model.addEventListener("change", show);
document.querySelectorAll(".scroll").forEach((one) => overflow.observe(one));
show();
