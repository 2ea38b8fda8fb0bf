/* The charts, drawn with Observable Plot from the same cells that everything else shows. Each chart is a list of plain
 * rows and a way to draw them; its table is made of the same rows. A chart without rows is left out. */
"use strict";

const charts = (() => {
  const GREY = "var(--muted)", ACCENT = "var(--accent)";
  const SERIES = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];  // Okabe and Ito: apart for all eyes
  const COST_NAMES = { load_s: "load", save_s: "save", peak_anon_bytes_load: "peak_load" };
  const GROWTH_HEIGHT = 480;
  const STAGES = ["interpreter", "start", "torch", "import", "load", "predict"];  // the order of a cold start
  let model = DATA.common_model;

  const timed = () => DATA.cells.filter((cell) => cell.cost && !cell.kind && DATA.models[cell.m] === model)
    .map((cell) => ({ backend: DATA.backends[cell.b], ...cell.cost }));

  /* Rows of which no other is both smaller and faster. */
  function front(rows, x, y) {
    const sorted = [...rows].sort((a, b) => a[x] - b[x] || a[y] - b[y]), kept = [];
    for (const row of sorted) if (!kept.length || row[y] < kept[kept.length - 1][y]) kept.push(row);
    return kept;
  }

  function sizeAgainstLoad(width) {
    const rows = timed().filter((row) => row.bytes && row.load)
      .map((row) => ({ backend: row.backend, "size MB": row.bytes / 1e6, "load ms": row.load[1] * 1e3 }));
    const best = front(rows, "size MB", "load ms"), names = new Set(best.map((row) => row.backend));
    rows.forEach((row) => { row["on the front"] = names.has(row.backend) ? "yes" : ""; });
    return { rows, plot: () => Plot.plot({
      width, height: 360, marginLeft: 50, marginRight: 24, marginTop: 24, marginBottom: 42,
      x: { label: "size, MB →", nice: true, inset: 24, ...(wide(rows, "size MB") ? { type: "log", tickFormat: "~g" } : { tickFormat: digits }) }, y: { label: "↑ load, ms", type: "log", nice: true, inset: 16, tickFormat: "~g", grid: true },
      marks: [
        Plot.line(best, { x: "size MB", y: "load ms", curve: "step-after", stroke: ACCENT, strokeOpacity: .5 }),
        Plot.dot(rows, { x: "size MB", y: "load ms", r: 5, fill: (row) => names.has(row.backend) ? ACCENT : GREY, fillOpacity: (row) => names.has(row.backend) ? 1 : .55 }),
        Plot.text(best, { x: "size MB", y: "load ms", text: "backend", dy: -12, fontWeight: 600, fill: ACCENT, stroke: "var(--bg)", strokeWidth: 4 }),
        tip(rows, { x: "size MB", y: "load ms", title: (row) => `${row.backend}\n${digits(row["load ms"])} ms, ${digits(row["size MB"])} MB` }),
      ] }) };
  }

  const wide = (rows, name) => { const values = rows.map((row) => row[name]); return Math.max(...values) > 4 * Math.min(...values); };

  function timesFloor(name, label) {
    return (width) => {
      const rows = timed().filter((row) => row[`${name}_x`])
        .map((row) => ({ backend: row.backend, "× floor": row[`${name}_x`][1], low: row[`${name}_x`][0] ?? row[`${name}_x`][1], high: row[`${name}_x`][2] ?? row[`${name}_x`][1], ms: row[name][1] * 1e3 }))
        .sort((a, b) => a["× floor"] - b["× floor"]);
      return { rows, plot: () => Plot.plot({
        width, height: 60 + rows.length * 22, marginLeft: labelWidth(rows), marginRight: 46, marginTop: 10, marginBottom: 38,
        x: { type: "log", label: `${label}, × floor →`, grid: true, tickFormat: "~g", nice: true }, y: { label: null, domain: rows.map((row) => row.backend), tickSize: 0 },
        marks: [
          Plot.ruleX([1], { stroke: "currentColor", strokeDasharray: "3 3" }),
          Plot.link(rows, { x1: "low", x2: "high", y1: "backend", y2: "backend", stroke: ACCENT, strokeWidth: 5, strokeOpacity: .35, strokeLinecap: "round" }),
          Plot.dot(rows, { x: "× floor", y: "backend", r: 4, fill: ACCENT }),
          Plot.text(rows, { x: "high", y: "backend", text: (row) => `${digits(row["× floor"])} ×`, dx: 8, textAnchor: "start", fill: GREY }),
          tip(rows, { x: "× floor", y: "backend", title: (row) => `${row.backend}\n${digits(row["× floor"])} × floor [${digits(row.low)}, ${digits(row.high)}]\n${digits(row.ms)} ms` }),
        ] }) };
    };
  }

  function memory(width) {
    const rows = timed().filter((row) => row.peak_load || row.peak_save).flatMap((row) =>
      [["at save", row.peak_save], ["at load", row.peak_load]].filter(([, peak]) => peak !== undefined)
        .map(([when, peak]) => ({ backend: row.backend, when, "MB": peak / 1e6, "× tensors": row.tensor_bytes ? peak / row.tensor_bytes : null })));
    const order = [...new Set([...rows].sort((a, b) => a.MB - b.MB).map((row) => row.backend))];
    const tensors = timed().find((row) => row.tensor_bytes);
    return { rows, plot: () => Plot.plot({
      width, height: 84 + order.length * 22, marginLeft: labelWidth(rows), marginRight: 24, marginTop: 10, marginBottom: 38,
      x: { label: "peak anonymous memory above the process's own, MB →", grid: true, tickFormat: digits, zero: true }, y: { label: null, domain: order, tickSize: 0 },
      symbol: { legend: true, domain: ["at save", "at load"], range: ["square", "circle"] },
      marks: [
        tensors ? Plot.ruleX([tensors.tensor_bytes / 1e6], { stroke: "currentColor", strokeDasharray: "3 3" }) : null,
        Plot.dot(rows, { x: "MB", y: "backend", symbol: "when", r: 4.5, fill: (row) => row.when === "at load" ? ACCENT : "none", stroke: ACCENT, strokeWidth: 1.5 }),
        tip(rows, { x: "MB", y: "backend", title: (row) => `${row.backend}, ${row.when}\n${digits(row.MB)} MB${row["× tensors"] ? `, ${digits(row["× tensors"])} × its tensors` : ""}` }),
      ] }) };
  }

  /* Records of kind cold_start: whatever durations their facts hold, stacked in the order in which they come. */
  function coldStart(width) {
    const rows = kind("cold_start").flatMap((cell) => Object.entries(numbers(cell))
      .filter(([name]) => name.endsWith("_s") && !/total|wall/.test(name))
      .map(([part, value]) => ({ backend: DATA.backends[cell.b], model: DATA.models[cell.m], part: spaced(part.replace(/_s$/, "")), seconds: value })));
    const shown = rows.filter((row) => row.model === model), chosen = shown.length ? shown : rows.filter((row) => row.model === rows[0].model);
    const stage = (part) => { const place = STAGES.findIndex((word) => part.includes(word)); return place < 0 ? STAGES.length : place; };
    const parts = [...new Set(chosen.map((row) => row.part))].sort((a, b) => stage(a) - stage(b));
    const order = [...new Set(chosen.map((row) => row.backend))].map((name) => [name, chosen.filter((row) => row.backend === name).reduce((sum, row) => sum + row.seconds, 0)])
      .sort((a, b) => a[1] - b[1]).map(([name]) => name);
    return { rows: chosen, model: (chosen[0] || {}).model, plot: () => Plot.plot({
      width, height: 84 + order.length * 24, marginLeft: labelWidth(chosen), marginRight: 24, marginTop: 10, marginBottom: 38,
      x: { label: "seconds in a new interpreter →", grid: true }, y: { label: null, domain: order, tickSize: 0 }, color: { legend: true, domain: parts, range: SERIES },
      marks: [
        Plot.barX(chosen, { x: "seconds", y: "backend", fill: "part", z: "part", insetTop: 3, insetBottom: 3, order: parts }),
        tip(chosen, Plot.stackX({ x: "seconds", y: "backend", z: "part", order: parts, title: (row) => `${row.backend}: ${row.part}\n${digits(row.seconds * 1e3)} ms` })),
      ] }) };
  }

  /* Records of kind growth: their size against a duration or memory that they hold, in `facts` or as a cell does.
   * What grows is in `facts.sweep`: where it names modules, their number is the size, else the tensors' bytes. */
  function growth(what, label, unit, scale, modules = false) {
    return (width) => {
      const x = modules ? "modules" : "size MB";
      const rows = kind("growth").flatMap((cell) => {
        const facts = numbers(cell), cost = cell.cost || {};
        const value = facts[what] ?? (COST_NAMES[what] in cost ? d3.median([cost[COST_NAMES[what]]].flat()) : undefined);
        const size = modules ? facts.modules : (facts.tensor_bytes ?? cost.tensor_bytes) / 1e6;
        const wanted = /module/.test(String(cell.more?.facts?.sweep ?? "")) === modules;
        return wanted && size && value ? [{ backend: DATA.backends[cell.b], [x]: size, [unit]: value * scale }] : [];
      }).sort((a, b) => a[x] - b[x]);
      const names = rows.length ? labels(rows, unit, x, GROWTH_HEIGHT - 62) : [], right = labelWidth(rows);
      const reach = Math.pow(d3.max(rows, (row) => row[x]) / d3.min(rows, (row) => row[x]), 12 / (width - 54 - right));  // 12 pixels on
      return { rows, plot: () => Plot.plot({
        width, height: GROWTH_HEIGHT, marginLeft: 54, marginRight: right + 14, marginTop: 20, marginBottom: 42,
        x: { type: "log", label: modules ? "modules →" : "tensors, MB →", tickFormat: "~g", domain: d3.extent(rows, (row) => row[x]) },
        y: { type: "log", label: `↑ ${label}, ${unit}`, grid: true, tickFormat: "~g", domain: d3.extent(rows, (row) => row[unit]) },
        marks: [
          Plot.line(rows, { x, y: unit, z: "backend", title: "backend", stroke: GREY, strokeOpacity: .65 }),
          Plot.dot(rows, { x, y: unit, r: 2.5, fill: GREY }),
          Plot.link(names, { x1: "x", y1: "y", x2: (row) => row.x * reach, y2: "label", stroke: GREY, strokeOpacity: .4 }),
          Plot.text(names, { x: (row) => row.x * reach, y: "label", text: "backend", textAnchor: "start", dx: 3, fontSize: 11, fill: "currentColor" }),
          Plot.dot(rows, Plot.pointer({ x, y: unit, r: 5, fill: ACCENT })),
          tip(rows, { x, y: unit, title: (row) => `${row.backend}\n${digits(row[x])} ${modules ? "modules" : "MB"}: ${digits(row[unit])} ${unit}` }),
        ] }) };
    };
  }

  /* The last point of each backend, with a place for its name: near the point, and apart from the other names. */
  function labels(rows, name, place, height) {
    const last = [...new Map(rows.map((row) => [row.backend, row])).values()].sort((a, b) => b[name] - a[name]);
    const [low, high] = d3.extent(rows, (row) => row[name]);
    const scale = d3.scaleLog([low, Math.max(high, low * 1.001)], [height, 0]), apart = Math.min(12, height / Math.max(1, last.length - 1));
    const spots = last.map((row) => scale(row[name]));
    for (let at = 1; at < spots.length; at++) spots[at] = Math.max(spots[at], spots[at - 1] + apart);
    for (let at = spots.length - 1, below = height; at >= 0; at--, below -= apart) spots[at] = Math.min(spots[at], below);
    return last.map((row, at) => ({ backend: row.backend, x: row[place], y: row[name], label: scale.invert(spots[at]) }));
  }

  /* Whether the machine was too noisy, in a model's rounds, to rank by them: its floor's record says so. */
  const tooNoisy = (name) => kind("floor").some((cell) => DATA.models[cell.m] === name && cell.more?.too_noisy);

  const kind = (name) => DATA.cells.filter((cell) => cell.kind === name);

  /* Numbers of a record that is no cell: its facts, medians of lists. */
  function numbers(cell) {
    const found = {};
    for (const [name, value] of Object.entries(cell.more?.facts || {})) {
      const number = Array.isArray(value) ? d3.median(value.filter((item) => typeof item === "number")) : value;
      if (typeof number === "number") found[name] = number;
    }
    return found;
  }

  const tip = (rows, options) => Plot.tip(rows, Plot.pointer({ ...options, fill: "var(--card)", stroke: "var(--line)", fontSize: 12 }));
  const labelWidth = (rows) => 16 + 6.6 * Math.max(6, ...rows.map((row) => row.backend.length));

  const ALL = [
    { id: "size-load", title: "Size against load time", note: "Nobody is both smaller and faster than the ones on the line.", make: sizeAgainstLoad, perModel: true, timed: true },
    { id: "memory", title: "Peak memory", note: "The dashed line is the size of the tensors.", make: memory, perModel: true },
    { id: "load-floor", title: "Load, in multiples of the floor", note: "Dots are medians of the rounds’ ratios, bars their 99 % bootstrap intervals; 1 is reading one plain file.", make: timesFloor("load", "load"), perModel: true, timed: true },
    { id: "save-floor", title: "Save, in multiples of the floor", note: "The same for saving; 1 is writing one plain file.", make: timesFloor("save", "save"), perModel: true, timed: true },
    { id: "cold-start", title: "Cold start", note: "From a new interpreter to the first prediction.", make: coldStart, perModel: true },
    { id: "growth-load", title: "Load time as models grow", note: "One line a backend, on logarithmic scales.", make: growth("load_s", "load", "ms", 1e3) },
    { id: "growth-save", title: "Save time as models grow", note: "One line a backend, on logarithmic scales.", make: growth("save_s", "save", "ms", 1e3) },
    { id: "growth-memory", title: "Memory at load as models grow", note: "One line a backend, on logarithmic scales.", make: growth("peak_anon_bytes_load", "peak anonymous memory", "MB", 1e-6) },
    { id: "growth-load-modules", title: "Load time with more modules", note: "The same bytes in more and more parts.", make: growth("load_s", "load", "ms", 1e3, true) },
    { id: "growth-save-modules", title: "Save time with more modules", note: "The same bytes in more and more parts.", make: growth("save_s", "save", "ms", 1e3, true) },
  ];

  function draw() {
    const width = Math.max(280, $("charts").clientWidth > 800 ? ($("charts").clientWidth - 40) / 2 : $("charts").clientWidth);
    const figures = [];
    for (const chart of ALL) {
      const { rows, plot, model: other } = chart.make(width);
      if (!rows.length) continue;
      const svg = plot();
      svg.setAttribute("role", "img");
      for (const group of svg.querySelectorAll("g[aria-label]")) group.setAttribute("role", "group");
      svg.setAttribute("aria-label", `${chart.title}; the numbers are in the table below`);
      svg.addEventListener("input", () => lift(svg));
      figures.push(element("figure", { id: `chart-${chart.id}` },
        element("figcaption", {}, element("strong", {}, chart.title), element("span", {}, `${chart.perModel ? `${other || model}. ` : ""}${chart.note}`),
          chart.timed && tooNoisy(model) ? element("span", { className: "noisy" }, "Too noisy to rank by: two equal floors differed in these rounds.") : null),
        svg, table(rows)));
    }
    $("charts").replaceChildren(...figures);
  }

  /* While one of a line's points is pointed at, the line stands out. Plot tells which by `value` and an input event. */
  function lift(svg) {
    for (const title of svg.querySelectorAll("path > title")) {
      const lifted = svg.value && title.textContent === svg.value.backend;
      title.parentNode.style.cssText = lifted ? `stroke: ${ACCENT}; stroke-width: 3; stroke-opacity: 1` : "";
    }
  }

  function table(rows) {
    const names = Object.keys(rows[0]);
    const body = element("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": "The chart's numbers" });
    overflow.observe(body);
    const fill = () => body.replaceChildren(element("table", { className: "numbers" },
      element("thead", {}, element("tr", {}, ...names.map((name) => element("th", { scope: "col" }, name)))),
      element("tbody", {}, ...rows.map((row) => element("tr", {}, ...names.map((name, place) =>
        element(place ? "td" : "th", place ? {} : { scope: "row" }, typeof row[name] === "number" ? digits(row[name]) : String(row[name] ?? "–"))))))));
    return element("details", { ontoggle: fill, onfill: fill }, element("summary", {}, "As a table"), body);
  }

  function setUp() {
    const models = [...new Set(DATA.cells.filter((cell) => cell.cost && !cell.kind).map((cell) => DATA.models[cell.m]))];
    const select = element("select", { id: "chart-model", onchange: () => { model = select.value; draw(); } },
      ...models.map((name) => element("option", { value: name, selected: name === model }, name + (tooNoisy(name) ? " (too noisy to rank by)" : ""))));
    if (models.length) $("chart-controls").append(element("label", {}, "Model ", select));
    draw();
    let width = innerWidth, timer;
    addEventListener("resize", () => {
      if (innerWidth === width) return;
      width = innerWidth;
      clearTimeout(timer);
      timer = setTimeout(draw, 150);
    });
  }

  /* All tables at once, not when they are opened: printing does not wait for that. */
  function fillTables() {
    for (const details of $("charts").querySelectorAll("details")) details.dispatchEvent(new Event("fill"));
  }

  return { setUp, front, fillTables };
})();
