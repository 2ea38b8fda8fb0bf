/* What charts.js and page.js share: the data, elements, numbers as text. */
"use strict";

const DATA = JSON.parse(document.getElementById("data").textContent);

for (let at = 0; at < (DATA.packed ?? []).length; at += 5) {
  const [place, b, m, c, found] = DATA.packed.slice(at, at + 5);
  DATA.cells[place] = { b, m, c, ...DATA.found[found] };
}

const $ = (id) => document.getElementById(id);

function element(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node && !name.includes("-")) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/* What is wider than its place says so: there is no scroll bar to see on a phone. */
const overflow = new ResizeObserver((entries) => requestAnimationFrame(() => {
  for (const { target } of entries) target.toggleAttribute("data-more", target.scrollWidth > target.clientWidth + 1);
}));

const digits = (value) => value >= 1000 ? Math.round(value).toLocaleString("en") : Number(value.toPrecision(3)).toString();
const seconds = (value) => value < 1e-3 ? `${digits(value * 1e6)} µs` : value < 1 ? `${digits(value * 1e3)} ms` : `${digits(value)} s`;
const bytes = (value) => value < 1e5 ? `${digits(value / 1e3)} kB` : value < 1e9 ? `${digits(value / 1e6)} MB` : `${digits(value / 1e9)} GB`;
const spaced = (name) => name.replaceAll("_", " ");
