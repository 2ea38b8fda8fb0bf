/* What moves on the page: the choice and its ranking, the matrix, the evidence, links. Text is set, never HTML.
 * The choice lives in the address after #, as need=a,b&weight=load:2&at=backend-pickle, so that a link shares it. */
"use strict";

const GLYPHS = { yes: "✓", partly: "◐", no: "✕", unmeasured: "?" };
const VERDICT_WORDS = { yes: "yes", partly: "in part", no: "no", unmeasured: "not measured" };
const WEIGHT_WORDS = ["any", "a little", "matters", "matters most"];
const WORKS = new Set(["exact", "close"]);
const RANKS_SHOWN = 8;
const DEFAULT_NEEDS = ["pre_post"];

const mark = (verdict, title) =>
  element("span", { className: `mark ${verdict}`, title, role: "img", "aria-label": title || VERDICT_WORDS[verdict] }, GLYPHS[verdict]);

/* --- the choice ------------------------------------------------------------------------------------------------ */

const state = { needs: [], weights: {}, at: "", view: "conditions", under: "", allRanks: false };

function readAddress() {
  let hash = location.hash.slice(1);
  try { hash = decodeURIComponent(hash); } catch { hash = ""; }  // not an address of ours
  const fields = hash.includes("=") ? new URLSearchParams(hash) : new URLSearchParams();
  const known = new Set(DATA.facts.needs.map((need) => need.id));
  state.needs = fields.has("need") ? fields.get("need").split(",").filter((id) => known.has(id))
    : hash.includes("=") ? [] : DEFAULT_NEEDS.filter((id) => known.has(id));
  state.weights = fields.has("weight") ? {} : { load: 1 };
  for (const pair of (fields.get("weight") || "").split(",").filter(Boolean)) {
    const [id, weight] = pair.split(":");
    if (DATA.facts.costs.some((cost) => cost.id === id)) state.weights[id] = Math.min(3, Math.max(0, Number(weight) || 0));
  }
  state.at = fields.get("at") || (hash.includes("=") ? "" : hash);
}

function address() {
  const weights = Object.entries(state.weights).filter(([, weight]) => weight).map(([id, weight]) => `${id}:${weight}`);
  return `#need=${state.needs.join(",")}&weight=${weights.join(",")}${state.at ? `&at=${state.at}` : ""}`;
}

function writeAddress() {
  history.replaceState(null, "", address());
}

function setUpChoice() {
  for (const { id, label } of DATA.facts.costs) {
    const output = element("output", { htmlFor: `weight-${id}` });
    const input = element("input", { type: "range", id: `weight-${id}`, min: 0, max: 3, step: 1, oninput: () => {
      state.weights[id] = Number(input.value);
      choiceChanged();
    } });
    $("weights").append(element("div", { className: "weight" }, element("label", { htmlFor: `weight-${id}` }, label[0].toUpperCase() + label.slice(1)), input, output));
  }
  $("needs").addEventListener("change", (event) => {
    if (event.target.name !== "need") return;
    state.needs = [...$("needs").querySelectorAll("[name=need]:checked")].map((box) => box.value);
    choiceChanged();
  });
  $("needs").addEventListener("submit", (event) => event.preventDefault());
  for (const button of document.querySelectorAll(".scenario")) {
    button.addEventListener("click", () => { combine(button); choiceChanged(); });
  }
  $("clear").addEventListener("click", () => { state.needs = []; state.weights = {}; choiceChanged(); });
  $("share").addEventListener("click", () => copy(location.href, $("share")));
  $("all-ranks").addEventListener("click", () => { state.allRanks = !state.allRanks; showRanking(); });
  for (const box of document.querySelectorAll("[name=need]")) {
    const measured = DATA.facts.backends.some((backend) => ranking.verdict(backend.needs[box.value]) !== "unmeasured");
    box.closest("label").classList.toggle("unmeasured", !measured);
    if (!measured) $("unmeasured").hidden = false;
  }
}

/* Situations add up: a second one adds its needs, and one that is pressed takes back what no other pressed one needs.
 * The first one replaces the choice that the page opens with. */
function combine(button) {
  const pressed = [...document.querySelectorAll(".scenario[aria-pressed=true]")].filter((one) => one !== button);
  const mine = ids(button.dataset.needs), weights = weightsOf(button.dataset.weights);
  if (isPressed(button)) {
    const others = new Set(pressed.flatMap((one) => ids(one.dataset.needs)));
    state.needs = state.needs.filter((id) => !mine.includes(id) || others.has(id));
    for (const id of Object.keys(weights)) state.weights[id] = Math.max(0, ...pressed.map((one) => weightsOf(one.dataset.weights)[id] || 0));
  } else {
    const kept = pressed.length || !isDefault() ? state.needs : [];
    if (!kept.length) state.weights = {};
    state.needs = [...new Set([...kept, ...mine])];
    for (const [id, weight] of Object.entries(weights)) state.weights[id] = Math.max(weight, state.weights[id] || 0);
  }
}

const isPressed = (button) => ids(button.dataset.needs).every((id) => state.needs.includes(id))
  && Object.entries(weightsOf(button.dataset.weights)).every(([id, weight]) => (state.weights[id] || 0) >= weight);
const isDefault = () => state.needs.join() === DEFAULT_NEEDS.join();

const ids = (text) => text.split(",").filter((id) => DATA.facts.needs.some((need) => need.id === id));
const weightsOf = (text) => Object.fromEntries(text.split(",").filter(Boolean).map((pair) => pair.split(":")).map(([id, weight]) => [id, Number(weight)]));

function choiceChanged() {
  writeAddress();
  showChoice();
  showRanking();
}

function showChoice() {
  for (const box of document.querySelectorAll("[name=need]")) box.checked = state.needs.includes(box.value);
  for (const { id } of DATA.facts.costs) {
    const input = $(`weight-${id}`), weight = state.weights[id] || 0;
    input.value = weight;
    input.setAttribute("aria-valuetext", WEIGHT_WORDS[weight]);
    input.parentElement.querySelector("output").value = WEIGHT_WORDS[weight];
  }
  for (const button of document.querySelectorAll(".scenario")) {
    button.setAttribute("aria-pressed", String(isPressed(button)));
  }
}

function showRanking() {
  const result = ranking.rank(DATA.facts, { needs: state.needs, weights: state.weights });
  $("sentence").replaceChildren(...named(result.sentence));
  const shown = state.allRanks ? result.order : result.order.slice(0, RANKS_SHOWN);
  $("ranking").replaceChildren(...shown.map((item, place) => rankedItem(item, place)));
  const rest = result.order.length - RANKS_SHOWN;
  $("all-ranks").hidden = rest <= 0;
  $("all-ranks").textContent = state.allRanks ? "Show the first ones" : `Show ${rest} more`;
  const options = [...state.needs.map((id) => `--need ${id}`),
    ...Object.entries(state.weights).filter(([, weight]) => weight).sort((a, b) => b[1] - a[1]).map(([id]) => `--prefer ${id}`)];
  $("command").replaceChildren("In the terminal: ", element("code", {}, `roundtrip recommend ${options.join(" ")}`.trim()));
}

/* A sentence in which the backends' names are set as code. */
function named(text) {
  const names = DATA.facts.backends.map((backend) => backend.name).sort((a, b) => b.length - a.length).map((name) => name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const parts = text.split(new RegExp(`(?<![\\w/])(${names.join("|")})(?![\\w/])`));
  return parts.map((part, place) => place % 2 ? element("code", {}, part) : part);
}

function rankedItem(item, place) {
  const strip = element("span", { className: "strip" }, ...item.verdicts.map((verdict) => mark(verdict.verdict, verdict.text)));
  const met = item.verdicts.length - item.misses.length;
  const gauge = !item.usable ? "nothing came back" : item.verdicts.length ? `meets ${met} of ${item.verdicts.length}` : "";
  const reasons = [...item.for.map((reason) => [reason, "yes"]), ...item.against.map((reason) => [reason, reason.verdict])];
  return element("li", { className: item.usable ? "" : "unusable", "data-backend": item.backend },
    element("details", { open: place === 0 },
      element("summary", {}, element("span", { className: "rank" }, String(place + 1)),
        element("span", { className: "name" }, item.backend), strip, element("span", { className: "gauge" }, gauge)),
      element("ul", { className: "reasons" }, ...reasons.map(([reason, verdict]) =>
        element("li", {}, mark(verdict), reason.cells.length ? evidenceButton("reason", reason.text, reason.cells, `${item.backend}: ${reason.text}`) : reason.text))),
      element("p", { className: "more" }, element("a", { href: `#backend-${item.backend}` }, `All about ${item.backend}`))));
}

/* --- the matrix ------------------------------------------------------------------------------------------------ */

const isTrait = (cell) => DATA.models[cell.m].startsWith("trait/");

const VIEWS = {
  conditions: { label: "By condition", rows: (cell) => !isTrait(cell), column: (cell) => DATA.conditions[cell.c], choose: false },
  models: { label: "By model", rows: (cell) => !isTrait(cell), column: (cell) => DATA.models[cell.m], choose: true },
  traits: { label: "By kind of difficulty", rows: isTrait, column: (cell) => DATA.families[DATA.models[cell.m]], choose: true },
  difficulties: { label: "Every difficulty", rows: isTrait, choose: true },
};

const matrixCells = DATA.cells.map((cell, number) => [cell, number]).filter(([cell]) => !cell.kind);

function setUpMatrix() {
  const views = Object.entries(VIEWS).filter(([, view]) => matrixCells.some(([cell]) => view.rows(cell)));
  const choices = element("div", { className: "segmented", role: "radiogroup", "aria-label": "Columns" }, ...views.map(([name, view]) =>
    element("label", {}, element("input", { type: "radio", name: "view", value: name, checked: name === state.view, onchange: () => { state.view = name; showMatrix(); } }), view.label)));
  const under = element("select", { id: "under", "aria-label": "Condition", onchange: () => { state.under = under.value; showMatrix(); } });
  $("matrix-controls").append(choices, element("label", { id: "under-label" }, "under ", under));
  legends.counts.append(element("span", { className: "l4" }, "all"), element("span", { className: "l3" }, "most"), element("span", { className: "l2" }, "some"),
    element("span", { className: "l1" }, "few"), element("span", { className: "l0" }, "none"), " ", element("b", { className: "part" }, "+2"), " more came back in part, ", element("b", { className: "wrong" }, "✕2"), " are silently wrong: loaded, and not what was saved, ",
    element("b", { className: "edited" }, "✎2"), " ran code that was edited since");
  legends.letters.append(...traitTable.legend());
}

const legends = { counts: element("span"), letters: element("span") };

function showMatrix() {
  fillMatrix();
  overflow.unobserve($("heat"));
  overflow.observe($("heat"));
}

function fillMatrix() {
  const view = VIEWS[state.view], under = $("under");
  const conditions = DATA.conditions.filter((name, number) => matrixCells.some(([cell]) => view.rows(cell) && cell.c === number));
  if (!conditions.includes(state.under)) state.under = conditions.includes("fresh_process") ? "fresh_process" : conditions[0];
  under.replaceChildren(...conditions.map((name) => element("option", { value: name, selected: name === state.under }, spaced(name))));
  $("under-label").hidden = !view.choose;
  $("heat-legend").replaceChildren(state.view === "difficulties" ? legends.letters : legends.counts);
  if (state.view === "difficulties") {
    const numbers = matrixCells.filter(([cell]) => isTrait(cell) && DATA.conditions[cell.c] === state.under).map(([, number]) => number);
    $("heat").replaceChildren(...traitTable.show(numbers));
    return;
  }

  const table = new Map(), columns = new Map();
  for (const [cell, number] of matrixCells) {
    if (!view.rows(cell) || (view.choose && DATA.conditions[cell.c] !== state.under)) continue;
    const row = DATA.backends[cell.b], column = view.column(cell);
    columns.set(column, true);
    if (!table.has(row)) table.set(row, new Map());
    const place = table.get(row);
    if (!place.has(column)) place.set(column, []);
    place.get(column).push(number);
  }
  const names = [...columns.keys()];
  if (!view.choose) names.sort((a, b) => DATA.conditions.indexOf(a) - DATA.conditions.indexOf(b));
  $("heat").replaceChildren(element("table", { className: `heat${names.length > 14 ? " many" : ""}` },
    element("caption", { className: "sr" }, `Came back / tried, backend by ${state.view}`),
    element("thead", {}, element("tr", {}, element("td"), ...names.map((name) =>
      element("th", { scope: "col", title: DATA.questions[name] }, spaced(name))))),
    element("tbody", {}, ...[...table].map(([row, place]) => element("tr", {},
      element("th", { scope: "row" }, element("a", { href: `#backend-${row}` }, ...breakable(row))),
      ...names.map((name) => element("td", {}, place.has(name) ? heatButton(row, name, place.get(name))
        : element("span", { className: "none", title: "not run" }, "–"))))))));
}

/* A name that may be broken after its underscores. */
const breakable = (name) => name.split(/(?<=_)/).flatMap((part, place) => place ? [element("wbr"), part] : [part]);

/* Code that was edited since the save ran, and that is all that differs. */
const ranEdited = (cell) => cell.o === "mismatch" && cell.more?.code_ran === "edited";

function heatButton(row, column, numbers) {
  const cells = numbers.map((number) => DATA.cells[number]), outcomes = cells.map((cell) => cell.o);
  const count = (wanted) => outcomes.filter(wanted).length;
  const works = count((outcome) => WORKS.has(outcome)), part = count((outcome) => outcome === "partial");
  const edited = cells.filter(ranEdited).length, wrong = count((outcome) => outcome === "mismatch") - edited;
  const tried = numbers.length - count((outcome) => outcome === "unavailable");
  const share = tried ? works / tried : 0;
  const level = share === 1 ? 4 : share >= .66 ? 3 : share >= .33 ? 2 : share > 0 ? 1 : 0;
  const title = `${row}: ${spaced(column)}`;
  const single = numbers.length === 1 && state.view === "models";
  const button = evidenceButton(`l${level}`, single ? outcomes[0] : tried ? `${works}/${tried}` : "not tried", numbers, title);
  button.setAttribute("aria-label", `${title}: ${works} of ${tried} came back${part ? `, ${part} in part` : ""}${wrong ? `, ${wrong} silently wrong` : ""}${edited ? `, ${edited} ran edited code` : ""}`);
  if (part && !single) button.append(element("span", { className: "part" }, `+${part}`));
  if (wrong) button.append(element("span", { className: "wrong" }, `✕${wrong}`));
  if (edited) button.append(element("span", { className: "edited" }, `✎${edited}`));
  return button;
}

/* --- the evidence ---------------------------------------------------------------------------------------------- */

const SEVERITY = ["mismatch", "crashed", "failed", "unsupported", "partial", "unavailable", "close", "exact", ""];
const CELLS_SHOWN = 60;

function evidenceButton(className, text, numbers, title) {
  return element("button", { type: "button", className, "data-cells": numbers.join(), "data-title": title }, text);
}

function openEvidence(numbers, title) {
  const sorted = [...numbers].sort((a, b) => SEVERITY.indexOf(DATA.cells[a].o) - SEVERITY.indexOf(DATA.cells[b].o));
  const few = sorted.length <= 3;
  $("evidence-title").textContent = title;
  const body = sorted.slice(0, CELLS_SHOWN).map((number, place) => evidence(DATA.cells[number], few || place === 0));
  if (sorted.length > CELLS_SHOWN) body.push(element("p", { className: "small" }, `And ${sorted.length - CELLS_SHOWN} more: tables/cells.csv has them all.`));
  $("evidence-body").replaceChildren(...body);
  $("evidence").showModal();
  $("evidence").scrollTop = 0;
}

function evidence(cell, open) {
  const what = [DATA.backends[cell.b], DATA.models[cell.m], DATA.conditions[cell.c]].filter(Boolean).join(" × ") + (cell.on ? ` (${cell.on})` : "");
  const summary = element("summary", {}, element("span", { className: `outcome ${cell.o || ""}` }, cell.o || spaced(cell.kind || "")), element("span", { className: "what" }, what));
  const details = element("details", { className: "cell", open }, summary);
  const fill = () => { if (details.childElementCount === 1) details.append(inside(cell)); };
  if (open) fill(); else details.addEventListener("toggle", fill, { once: true });
  return details;
}

function inside(cell) {
  const rows = [];
  const row = (name, value) => { if (value !== undefined && value !== null && value !== "") rows.push(element("dt", {}, name), element("dd", {}, value)); };
  row("what to do", cell.remedy === undefined ? "" : DATA.strings[cell.remedy]);
  row("stopped at", cell.stage);
  row("error", cell.error);
  if (cell.taps) row("outputs", Object.entries(cell.taps).map(([tap, answer]) => `${tap}: ${answer || "not reached"}`).join(", "));
  const cost = cell.cost || {};
  if (cost.save) row("save", `${seconds(cost.save[1])} (${seconds(cost.save[0])} to ${seconds(cost.save[2])})${timesFloor(cost.save_x)}`);
  if (cost.load) row("load", `${seconds(cost.load[1])} (${seconds(cost.load[0])} to ${seconds(cost.load[2])})${timesFloor(cost.load_x)}`);
  if (cost.predict) row("first prediction", seconds(cost.predict[1]));
  if (cost.bytes) row("artifact", `${bytes(cost.bytes)}${cost.tensor_bytes ? `, of which tensors ${bytes(cost.tensor_bytes)}` : ""}`);
  if (cost.peak_load) row("memory at load", bytes(cost.peak_load));
  if (cost.rounds) row("rounds", String(cost.rounds));
  for (const [name, value] of Object.entries(cell.more || {})) row(spaced(name), plain(value));
  const parts = [];
  if (cell.message !== undefined) parts.push(element("pre", {}, DATA.strings[cell.message]));
  if (rows.length) parts.push(element("dl", {}, ...rows));
  if (cell.state) {
    parts.push(element("p", {}, cell.differences > cell.state.length ? `${cell.differences} differences, the first ${cell.state.length}:` : "Differences:"),
      element("pre", { className: "differences" }, cell.state.map(([path, message]) => `${path}: ${message}`).join("\n")));
  }
  if (cell.traceback !== undefined) parts.push(element("details", {}, element("summary", {}, "Traceback"), element("pre", {}, DATA.strings[cell.traceback])));
  const names = { "{backend}": DATA.backends[cell.b], "{model}": DATA.models[cell.m], "{condition}": DATA.conditions[cell.c] };
  const form = cell.rerun === undefined ? (isTrait(cell) ? DATA.rerun_trait : DATA.rerun) : DATA.strings[cell.rerun];
  const rerun = (form || "").replace(/\{(backend|model|condition)\}/g, (name) => names[name]);
  if (rerun) {
    const button = element("button", { type: "button", className: "copy", onclick: () => copy(rerun, button) }, "Copy");
    parts.push(element("p", { className: "small" }, "Run it again:"), element("div", { className: "rerun" }, element("pre", {}, rerun), button));
  }
  return element("div", { className: "inside" }, ...parts);
}

const timesFloor = (ratio) => !ratio ? "" : `, ${digits(ratio[1])} × floor${ratio[0] === null ? "" : ` [${digits(ratio[0])}, ${digits(ratio[2])}]`}`;

function plain(value) {
  if (Array.isArray(value)) return value.map(plain).join(", ");
  if (value && typeof value === "object") return Object.entries(value).map(([key, item]) => `${spaced(key)}: ${plain(item)}`).join("; ");
  return typeof value === "number" ? String(value) : spaced(String(value));
}

async function copy(text, button) {
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Select and copy";
    getSelection().selectAllChildren(button.previousElementSibling || button);
  }
  setTimeout(() => { button.textContent = before; }, 1500);
}

/* --- sections, links, theme ------------------------------------------------------------------------------------ */

function showVerdicts() {
  for (const place of document.querySelectorAll(".verdicts")) {
    const backend = DATA.facts.backends.find((one) => one.name === place.dataset.backend);
    place.replaceChildren(...DATA.facts.needs.map((need) => {
      const proof = backend.needs[need.id], verdict = ranking.verdict(proof);
      if (verdict === "unmeasured") return element("div", { className: "unmeasured-text" }, mark(verdict), `${need.label} (not measured)`.replaceAll("`", ""));
      const { text } = ranking.reason(need, proof);
      return element("div", {}, mark(verdict), evidenceButton("reason", text, [...proof.against, ...proof.for], `${backend.name}: ${text}`));
    }));
  }
}

/* Of a button in a backend's or model's section: the backend, the row that it stands in, what it says. */
function titleOf(button) {
  const backend = DATA.backends[DATA.cells[button.dataset.cells.split(",")[0]].b];
  const head = button.closest("tr, .questions > div")?.querySelector("th, dt");
  const row = [...(head?.childNodes ?? [])].filter((node) => node.nodeType === Node.TEXT_NODE).map((node) => node.data.trim()).join("");
  return `${backend}: ${[row === backend ? "" : row, head?.tagName === "DT" ? "" : button.textContent].filter(Boolean).join(", ")}`;
}

function goTo(id) {
  const target = $(id);
  if (!target) return;
  if (target.tagName === "DETAILS") target.open = true;
  target.scrollIntoView();
  const focusable = target.tagName === "DETAILS" ? target.querySelector("summary") : target;
  focusable.focus({ preventScroll: true });
  state.at = id === "choose" ? "" : id;
  writeAddress();
}

function setUpLinks() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-cells]");
    if (button) openEvidence(button.dataset.cells.split(",").map(Number), button.dataset.title || titleOf(button));
    const link = event.target.closest("a[href^='#']");
    if (link) { event.preventDefault(); goTo(link.getAttribute("href").slice(1)); }
  });
  $("evidence-close").addEventListener("click", () => $("evidence").close());
  $("evidence").addEventListener("click", (event) => { if (event.target === $("evidence")) $("evidence").close(); });
  addEventListener("hashchange", () => { readAddress(); showChoice(); showRanking(); if (state.at) goTo(state.at); });
}

/* On paper: reasons of the ranking that is shown, the charts' numbers, the environment. A backend's or model's section
 * is printed where the reader has opened it: all of them are a hundred pages. */
function setUpPrint() {
  let opened = [], theme = "light";
  addEventListener("beforeprint", () => {
    theme = document.documentElement.dataset.theme;
    document.documentElement.dataset.theme = "light";
    charts.fillTables();
    opened = [...document.querySelectorAll(":is(#ranking, #charts, #method) details:not([open])")];
    opened.forEach((one) => { one.open = true; });
  });
  addEventListener("afterprint", () => {
    document.documentElement.dataset.theme = theme;
    opened.forEach((one) => { one.open = false; });
  });
}

function setUpTheme() {
  const wanted = matchMedia("(prefers-color-scheme: dark)");
  const show = (dark) => { document.documentElement.dataset.theme = dark ? "dark" : "light"; };
  show(wanted.matches);
  wanted.addEventListener("change", () => show(wanted.matches));
  $("theme").addEventListener("click", () => show(document.documentElement.dataset.theme !== "dark"));
}

setUpTheme();
readAddress();
setUpChoice();
setUpMatrix();
document.querySelectorAll(".scroll").forEach((one) => overflow.observe(one));
setUpLinks();
setUpPrint();
showChoice();
showRanking();
showMatrix();
showVerdicts();
charts.setUp();
if (state.at) goTo(state.at);
document.documentElement.dataset.ready = "true";
