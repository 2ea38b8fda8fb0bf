/* Trait by backend, one letter a cell: the silently wrong first, then a table for each family, made when it is opened.
 * All at once would be fifteen thousand buttons. */
"use strict";

const LETTERS = { exact: "E", close: "C", partial: "P", mismatch: "✕", failed: "F", unsupported: "U", crashed: "†", unavailable: "?" };
const LEVELS = { exact: "l4", close: "l3", partial: "l2", mismatch: "l0", failed: "l0", unsupported: "l1", crashed: "l0", unavailable: "l1" };
const WRONG_TRAITS_SHOWN = 30;

const traitTable = (() => {
  /* `numbers`: the cells of traits under one condition. */
  function show(numbers) {
    const table = new Map();
    for (const number of numbers) {
      const cell = DATA.cells[number], name = DATA.models[cell.m];
      if (!table.has(name)) table.set(name, []);
      table.get(name).push(number);
    }
    const backends = [...new Set(numbers.map((number) => DATA.cells[number].b))].sort((a, b) => a - b);
    const rows = [...table].map(([name, cells]) => ({ name, cells, wrong: wrongs(cells), family: DATA.families[name] }));
    const worst = rows.filter((row) => row.wrong).sort((a, b) => b.wrong - a.wrong);
    const families = [...new Set(rows.map((row) => row.family))].map((name) => [name, rows.filter((row) => row.family === name)]);
    return [
      element("h3", {}, worst.length ? `Silently wrong: ${sum(worst, (row) => row.wrong)} cells, in ${worst.length} of ${rows.length} difficulties`
        : `Silently wrong: none of ${numbers.length} cells`),
      ...worst.length ? [section(`the ${Math.min(worst.length, WRONG_TRAITS_SHOWN)} that most backends get wrong without a word`, worst.slice(0, WRONG_TRAITS_SHOWN), backends, true)] : [],
      element("h3", {}, "Every difficulty, by family"),
      ...families.map(([name, of]) => section(name, of, backends, false)),
    ];
  }

  const wrongs = (cells) => cells.filter((number) => DATA.cells[number].o === "mismatch").length;
  const sum = (items, value) => items.reduce((total, item) => total + value(item), 0);

  function section(title, rows, backends, open) {
    const tried = sum(rows, (row) => row.cells.length), wrong = sum(rows, (row) => row.wrong);
    const came = sum(rows, (row) => row.cells.filter((number) => WORKS.has(DATA.cells[number].o)).length);
    const details = element("details", { className: "family", open }, element("summary", {}, element("b", {}, title),
      ` ${came} of ${tried} came back`, wrong ? element("span", { className: "wrong" }, `✕${wrong}`) : null));
    const fill = () => { if (details.childElementCount === 1) details.append(grid(title, rows, backends)); };
    if (open) fill(); else details.addEventListener("toggle", fill, { once: true });
    return details;
  }

  function grid(title, rows, backends) {
    const wide = element("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": `${title}, by backend` });
    wide.append(element("table", { className: "heat many letters" },
      element("caption", { className: "sr" }, `${title}: outcome, difficulty by backend`),
      element("thead", {}, element("tr", {}, element("td"), ...backends.map((b) => element("th", { scope: "col" }, DATA.backends[b])))),
      element("tbody", {}, ...rows.map((row) => {
        const places = new Map(row.cells.map((number) => [DATA.cells[number].b, number]));
        return element("tr", {}, element("th", { scope: "row", title: DATA.exercises[row.name] }, row.name.replace("trait/", "")),
          ...backends.map((b) => element("td", {}, places.has(b) ? letter(row.name, places.get(b)) : element("span", { className: "none", title: "not run" }, "–"))));
      }))));
    overflow.observe(wide);
    return wide;
  }

  function letter(name, number) {
    const cell = DATA.cells[number], title = `${DATA.backends[cell.b]}: ${name}`;
    const button = evidenceButton(LEVELS[cell.o] || "l1", LETTERS[cell.o] || "–", [number], title);
    button.setAttribute("aria-label", `${title}: ${cell.o}`);
    if (cell.o === "mismatch") button.classList.add("silent");
    return button;
  }

  function legend() {
    return Object.entries(LETTERS).map(([outcome, text]) =>
      element("span", { className: `${LEVELS[outcome]}${outcome === "mismatch" ? " silent" : ""}` }, `${text} ${outcome}`));
  }

  return { show, legend };
})();
