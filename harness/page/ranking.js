/* The ranking: which way of saving fits what is needed. The page runs this file in the browser, `roundtrip recommend`
 * runs the same file in QuickJS; there is no second implementation. Pure: no clock, no document, no random numbers.
 *
 * reason(need, proof) -> {id, verdict, text, cells}
 * verdict(proof) -> "yes" | "partly" | "unmeasured" | "no"
 * rank(facts, choice) -> result
 *   facts   what harness/needs.py prepares from the records:
 *           {needs: [{id, yes, no}], costs: [{id, label}],
 *            backends: [{name, base: Proof and partial: [cell], wrong: [cell], wrong_tried, needs: {id: Proof}, costs: {id: Cost}}]}
 *           Proof = {for: [cell], against: [cell], wrong: [cell]}: the cells that prove a need, and those that disprove
 *           it; of these, the silently wrong. Cost = {relative, shown, same: [backend], cells}: times the best backend's,
 *           and those that the rounds do not tell from it.
 *   choice  {needs: [id], weights: {load | save | size | memory: 0..3}}
 *   result  {order: [{backend, usable, verdicts, for, against, misses, penalty, points, parts}], fitting, sentence};
 *           each of verdicts, for, against, misses is a list of {id, verdict, text, cells}
 *
 * The order:
 *  1. Needs come first. Met (every cell that asks came out well) costs 0, met in part 0.5, not measured 0.75, not met 1.
 *     That a model comes back at all in a new process is a need that nobody has to ask for: where no cell did, the
 *     backend goes to the end. What was not measured is never taken for granted.
 *  2. Among equals, points decide, the fewer the better: for each cost its weight × log2(times the best), twice the
 *     share of models that did not come back as they were, and four times the share of silently wrong cells.
 *  3. Then the order of the backends' table.
 */
"use strict";

const ranking = (() => {
  const PENALTY = { yes: 0, partly: 0.5, unmeasured: 0.75, no: 1 };
  const CHEAP = 1.5, DEAR = 3;
  const BASE = { id: "base", yes: "comes back as it was in a new process",
                 no: "nothing came back as it was in a new process" };

  function verdict(proof) {
    const good = proof ? proof.for.length : 0, bad = proof ? proof.against.length : 0;
    if (good + bad === 0) return "unmeasured";
    return bad === 0 ? "yes" : good === 0 ? "no" : "partly";
  }

  function reason(need, proof) {
    const kind = verdict(proof);
    if (kind === "unmeasured") return { id: need.id, verdict: kind, text: `not measured: ${need.yes}`, cells: [] };
    const good = proof.for.length, tried = good + proof.against.length;
    const wrong = proof.wrong.length ? `, ${proof.wrong.length} silently wrong` : "";
    const count = tried > 1 || wrong ? ` (${good} of ${tried}${wrong})` : "";
    const text = `${kind === "no" ? need.no : need.yes}${count}`;
    return { id: need.id, verdict: kind, text, cells: kind === "yes" ? proof.for : proof.against };
  }

  function worstMeasured(facts, id) {
    const all = facts.backends.map((backend) => backend.costs[id]).filter(Boolean).map((cost) => cost.relative);
    return all.length ? Math.max(...all) : 1;
  }

  function judge(facts, choice, backend) {
    const verdicts = facts.needs.filter((need) => choice.needs.includes(need.id))
      .map((need) => reason(need, backend.needs[need.id]));
    const base = reason(BASE, backend.base);
    const supports = [...verdicts, base].filter((item) => item.verdict === "yes");
    const opposes = [...verdicts, base].filter((item) => item.verdict !== "yes");
    const parts = {};  // what the points are made of, and in which words

    const tried = backend.base.for.length + backend.base.against.length;
    const usable = tried === 0 || backend.base.for.length + backend.base.partial.length > 0;
    if (tried) parts.base = { points: 2 * backend.base.against.length / tried, text: base.text };
    if (backend.wrong.length) {
      const text = `silently wrong in ${backend.wrong.length} of ${backend.wrong_tried} cells`;
      parts.wrong = { points: 4 * backend.wrong.length / backend.wrong_tried, text };
      opposes.push({ id: "wrong", verdict: "no", text, cells: backend.wrong });
    }
    for (const { id, label } of facts.costs) {
      const weight = choice.weights[id] || 0, cost = backend.costs[id];
      if (!weight) continue;
      const relative = cost ? cost.relative : worstMeasured(facts, id);
      const text = cost ? `${label} ${times(relative)}: ${cost.shown}` : `not measured: ${label}`;
      parts[id] = { points: weight * Math.log2(relative), text };
      if (!cost) opposes.push({ id, verdict: "unmeasured", text, cells: [] });
      else if (relative <= CHEAP) supports.push({ id, verdict: "yes", text, cells: cost.cells });
      else opposes.push({ id, verdict: relative >= DEAR ? "no" : "partly", text, cells: cost.cells });
    }
    return {
      backend: backend.name, usable, verdicts, for: supports, against: opposes, parts,
      misses: verdicts.filter((item) => item.verdict !== "yes"),
      penalty: verdicts.reduce((sum, item) => sum + PENALTY[item.verdict], 0),
      points: Object.values(parts).reduce((sum, part) => sum + part.points, 0),
    };
  }

  function times(relative) {
    return relative < 1.05 ? "the least" : `${relative < 10 ? relative.toFixed(1) : Math.round(relative)} × the least`;
  }

  function rank(facts, choice) {
    const order = facts.backends.map((backend) => judge(facts, choice, backend));
    order.sort((a, b) => (b.usable - a.usable) || (a.penalty - b.penalty) || (a.points - b.points));  // sort is stable
    sayWhatTies(facts, order);
    const fitting = order.filter((item) => item.usable && item.misses.length === 0).length;
    return { order, fitting, sentence: sentence(order, fitting, choice.needs.length) };
  }

  /* A cost that does not tell a backend from the one before or after it, which meets as many needs, says so. */
  function sayWhatTies(facts, order) {
    const costs = new Map(facts.backends.map((backend) => [backend.name, backend.costs]));
    order.forEach((item, place) => {
      const near = [order[place - 1], order[place + 1]].filter((other) => other && other.usable === item.usable && other.penalty === item.penalty);
      for (const id of Object.keys(item.parts)) {
        const cost = costs.get(item.backend)[id];
        const ties = near.map((other) => other.backend).filter((name) => cost && cost.same.includes(name));
        if (!ties.length) continue;
        for (const said of [item.parts[id], ...item.for, ...item.against].filter((one) => one === item.parts[id] || one.id === id)) {
          said.text += `; the rounds do not tell it from ${ties.join(" or ")}`;
        }
      }
    });
  }

  /* What a person would say of the result, in one to three sentences. */
  function sentence(order, fitting, asked) {
    const [first, second] = order;
    if (!first || !first.usable) return "No backend brought a model back in this run.";
    const all = asked === 1 ? "what you need" : asked === 2 ? "both of your needs" : `all ${asked} of your needs`;
    let text;
    if (asked === 0) text = `With no needs chosen, ${first.backend} comes first: by what came back, and what it costs.`;
    else if (fitting > 0) text = `${first.backend} meets ${all}${fitting > 1 ? `, as do ${fitting - 1} more` : ", and it alone"}.`;
    else text = `Nothing measured here meets ${all}. ${first.backend} comes closest${asked > 1 ? ` (${asked - first.misses.length} of ${asked})` : ""}: ${list(first.misses)}.`;
    if (second && second.usable) {
      const why = second.misses.length > 0 ? list(second.misses) : difference(first, second);
      text += ` Runner-up: ${second.backend}${why ? ` (${why})` : ""}.`;
    }
    return text;
  }

  function list(reasons) {
    return reasons.map((item) => item.text).join("; ");
  }

  /* Why the second of two backends that meet the same needs is the second: what costs it the most more points. */
  function difference(first, second) {
    const more = Object.entries(second.parts)
      .map(([id, part]) => ({ text: part.text, more: part.points - (first.parts[id] ? first.parts[id].points : 0) }))
      .sort((a, b) => b.more - a.more)[0];
    return more && more.more > 0.001 ? more.text : "";
  }

  return { rank, reason, verdict };
})();
