// Charts, drawn by Observable Plot as SVG. Each mark leads to its cases, and each chart has its numbers as a table.

const COLOURS = ["var(--one)", "var(--two)", "var(--three)", "var(--four)", "var(--five)", "var(--six)"];
const SYMBOLS = ["circle", "square", "triangle", "diamond", "star", "wye"];

function chart(title, drawn, columns, rows) {
  return el(
    "figure", { class: "chart" },
    el("figcaption", null, title),
    drawn,
    el("details", null, el("summary", null, "the numbers"), table(title, columns, rows))
  );
}

function plot(label, options) {
  const x = { labelOffset: 40, ...options.x };
  const drawn = Plot.plot({ style: { background: "transparent", fontSize: "12px" }, ariaLabel: label, marginBottom: 46, ...options, x });
  withoutLabels(drawn);
  for (const anchor of drawn.querySelectorAll("a")) {
    const title = anchor.querySelector("title");
    if (title) anchor.setAttribute("aria-label", title.textContent);
  }
  drawn.setAttribute("role", "group");
  return drawn;
}

// Plot names the parts of a drawing by labels that their role does not allow.
function withoutLabels(drawn) {
  for (const group of drawn.querySelectorAll("g[aria-label]")) group.removeAttribute("aria-label");
  return drawn;
}

// The symbol of each backend.
function marksKey(backends) {
  return el("p", { class: "key" }, backends.map((name, n) => el(
    "span", null,
    withoutLabels(Plot.plot({ width: 16, height: 14, margin: 0, axis: null, x: { domain: [0, 1] }, y: { domain: [0, 1] }, symbol: { domain: backends, range: SYMBOLS }, color: { domain: backends, range: COLOURS },
      marks: [Plot.dot([name], { x: 0.5, y: 0.5, symbol: (one) => one, stroke: (one) => one, strokeWidth: 2, r: 4 })] })),
    name
  )));
}

function room() {
  return Math.min(620, Math.max(280, document.documentElement.clientWidth - 56));
}

// The solve rate of each backend and model against what a case costs. Those that none beats in both are joined.
function frontier(cases, indices) {
  const measure = indices.some((n) => cases.get("cost_usd")[n] !== null) ? "cost_usd" : "output_tokens";
  const name = measure === "cost_usd" ? "mean cost of a case ($)" : "mean output tokens of a case";
  const points = [];
  for (const [key, members] of groups(indices, (n) => `${cases.get("backend")[n]} × ${cases.get("model")[n]}`)) {
    const x = mean(members.map((n) => cases.get(measure)[n]));
    const y = mean(members.map((n) => cases.get("solve_rate")[n]));
    if (x === null || y === null) continue;
    const [first] = members;
    points.push({ key, x, y, members: members.length, backend: cases.get("backend")[first], model: cases.get("model")[first] });
  }
  if (!points.length) return null;
  points.sort((one, other) => one.x - other.x || other.y - one.y);
  let best = -1;
  for (const point of points) {
    point.best = point.y > best;
    best = Math.max(best, point.y);
  }
  const backends = [...new Set(points.map((point) => point.backend))].sort();
  const goto = (point) => withFilter({ backend: point.backend, model: point.model });
  const drawn = plot(`Solve rate against ${name}`, {
    width: room(), height: 260, marginLeft: 46, marginRight: 20,
    x: { label: name, nice: true, zero: true }, y: { label: "solve rate", domain: [0, 1], grid: true },
    symbol: { domain: backends, range: SYMBOLS },
    color: { domain: backends, range: COLOURS },
    marks: [
      Plot.line(points.filter((point) => point.best), { x: "x", y: "y", stroke: "currentColor", strokeDasharray: "3 3", strokeOpacity: 0.6 }),
      Plot.dot(points, { x: "x", y: "y", symbol: "backend", stroke: "backend", fill: "var(--surface)", r: 5, strokeWidth: 2, href: goto,
        title: (point) => `${point.key}: solve rate ${rate(point.y)}, ${point.members} sessions` }),
    ],
  });
  const value = measure === "cost_usd" ? dollars : count;
  return chart(measure === "cost_usd" ? "Solve rate against cost" : "Solve rate against tokens", [drawn, marksKey(backends)], [["backend × model"], [name, "number"], ["solve rate", "number"], ["sessions", "number"]],
    points.map((point) => [link(goto(point), point.key), value(point.x), rate(point.y), count(point.members)]));
}

// The solve rate of each version of a submission, over what its case had used by then.
function growth(history) {
  const over = [["turns", "turns"], ["tokens", "tokens, without cached input", "~s"], ["cost_usd", "cost ($)"]].filter(([name]) => history.every((one) => one[name] !== null));
  const drawn = over.map(([name, label, ticks]) => plot(`Solve rate over ${label}`, {
    width: Math.min(300, room()), height: 200, marginLeft: 46, marginRight: 20,
    x: { label, zero: true, nice: true, ticks: 4, tickFormat: ticks }, y: { label: "solve rate", domain: [0, 1], grid: true },
    marks: [
      Plot.lineY(history, { x: name, y: "solve_rate", curve: "step-after", stroke: COLOURS[0] }),
      Plot.dot(history, { x: name, y: "solve_rate", stroke: COLOURS[0], fill: "var(--surface)", r: 3.5, title: (one) => `after ${count(one.turns)} turns: ${rate(one.solve_rate)}` }),
    ],
  }));
  return chart("Solve rate of each version", el("div", { class: "side-by-side" }, drawn), [["turns", "number"], ["tokens", "number"], ["cost", "number"], ["time", "number"], ["solve rate", "number"], ["commit"]],
    history.map((one) => [count(one.turns), count(one.tokens), dollars(one.cost_usd), seconds(one.seconds), `${rate(one.solve_rate)} (${one.solved} of ${one.episodes})`, one.commit.slice(0, 10)]));
}

// The solve rate for each number of objects. The numbers that the agent knew and the others differ in shape and colour.
function byCount(counts, name) {
  const points = counts.map((one) => ({ ...one, kind: one.held_out ? "held-out" : "design" }));
  const kinds = ["design", "held-out"].filter((kind) => points.some((point) => point.kind === kind));
  const told = (point) => `${point.count}, ${point.kind}: solve rate ${rate(point.solve_rate)}, ${point.solved} of ${point.episodes} episodes`;
  const drawn = plot(`Solve rate against ${name}`, {
    width: room(), height: 240, marginLeft: 46, marginRight: 20,
    x: { label: name, ticks: points.map((point) => point.count), tickFormat: String, inset: 12 }, y: { label: "solve rate", domain: [0, 1], grid: true },
    color: { domain: kinds, range: COLOURS }, symbol: { domain: kinds, range: SYMBOLS },
    marks: [
      Plot.line(points, { x: "count", y: "solve_rate", stroke: "currentColor", strokeOpacity: 0.4 }),
      Plot.ruleX(points, { x: "count", y1: (point) => point.interval[0], y2: (point) => point.interval[1], stroke: "kind", strokeWidth: 2 }),
      Plot.dot(points, { x: "count", y: "solve_rate", stroke: "kind", symbol: "kind", fill: "var(--surface)", r: 5, strokeWidth: 2, title: told }),
    ],
  });
  return chart(`Solve rate against ${name}, with 95% intervals`, [drawn, marksKey(kinds)], [[name], ["kind"], ["solve rate", "number"], ["95% interval", "number"], ["episodes", "number"]],
    points.map((point) => [count(point.count), point.kind, rate(point.solve_rate), interval(...point.interval), count(point.episodes)]));
}

const PLACES = [["model_s", "model"], ["tools_s", "tools"], ["experiment_s", "experiments"], ["other_s", "harness"]];

function timeSpent(cases, indices) {
  const bars = [];
  const rows = [];
  for (const [backend, members] of groups(indices, (n) => cases.get("backend")[n])) {
    const means = PLACES.map(([column, name]) => [name, mean(members.map((n) => cases.get(column)[n]))]);
    if (means.every(([, value]) => value === null)) continue;
    means.forEach(([place, value]) => value !== null && bars.push({ backend, place, value }));
    rows.push([link(withFilter({ backend }), backend), ...means.map(([, value]) => seconds(value))]);
  }
  if (!bars.length) return null;
  const drawn = plot("Seconds of a session by place", {
    width: room(), height: 76 + 34 * rows.length, marginLeft: 84,
    x: { label: "mean seconds of a session", grid: true }, y: { label: null },
    color: { domain: PLACES.map(([, name]) => name), range: COLOURS, legend: false },
    marks: [
      Plot.barX(bars, Plot.stackX({ x: "value", y: "backend", fill: "place", inset: 0.75, order: PLACES.map(([, name]) => name),
        href: (bar) => withFilter({ backend: bar.backend }), title: (bar) => `${bar.backend}, ${bar.place}: ${seconds(bar.value)}` })),
    ],
  });
  const key = el("p", { class: "key" }, PLACES.map(([, name], n) => el("span", null, el("i", { "--swatch": COLOURS[n] }), name)));
  return chart("Where the time goes", [drawn, key], [["backend"], ...PLACES.map(([, name]) => [name, "number"])], rows);
}

function endings(cases, indices) {
  const rows = [...groups(indices, (n) => cases.get("ending")[n])]
    .map(([ending, members]) => ({ ending, cause: cases.get("cause")[members[0]], many: members.length }))
    .sort((one, other) => other.many - one.many);
  if (!rows.length) return null;
  const causes = [...new Set(rows.map((row) => row.cause))];
  const drawn = plot("Sessions by ending", {
    width: room(), height: 76 + 26 * rows.length, marginLeft: 190, marginRight: 44,
    x: { label: "sessions", grid: true }, y: { label: null, domain: rows.map((row) => `${row.ending} (${row.cause})`) },
    color: { domain: causes, range: COLOURS },
    marks: [
      Plot.barX(rows, { x: "many", y: (row) => `${row.ending} (${row.cause})`, fill: "cause", inset: 1,
        href: (row) => withFilter({ ending: row.ending }), title: (row) => `${row.ending}: ${count(row.many)} sessions` }),
      Plot.text(rows, { x: "many", y: (row) => `${row.ending} (${row.cause})`, text: (row) => count(row.many), dx: 6, textAnchor: "start", fill: "currentColor" }),
    ],
  });
  return chart("Endings, and who answers for them", drawn, [["ending"], ["cause"], ["sessions", "number"]],
    rows.map((row) => [link(withFilter({ ending: row.ending }), row.ending), row.cause, count(row.many)]));
}

function trends(page) {
  const known = page.trends.filter((point) => point.solve_rate !== null);
  if (new Set(known.map((point) => point.run)).size < 2) return null;
  const dated = known.map((point) => ({ ...point, date: new Date(point.began) }));
  const backends = [...new Set(dated.map((point) => point.backend))].sort();
  // Only the runs of this page have cases here.
  const goto = (point) => {
    const run = page.runs.findIndex((one) => one.name === point.run);
    return run < 0 ? null : withFilter({ backend: point.backend, run: String(run) });
  };
  const drawn = plot("Solve rate of each backend over time", {
    width: room(), height: 240, marginLeft: 46, marginRight: 20,
    x: { label: "run", type: "utc" }, y: { label: "solve rate", domain: [0, 1], grid: true },
    color: { domain: backends, range: COLOURS }, symbol: { domain: backends, range: SYMBOLS },
    marks: [
      Plot.lineY(dated, { x: "date", y: "solve_rate", stroke: "backend" }),
      Plot.dot(dated, { x: "date", y: "solve_rate", stroke: "backend", symbol: "backend", fill: "var(--surface)", r: 3.5, href: goto,
        title: (point) => `${point.backend}, ${point.run}: ${rate(point.solve_rate)}` }),
    ],
  });
  return chart("The history of this suite", [drawn, marksKey(backends)], [["run"], ["backend"], ["solve rate", "number"], ["cost of a case", "number"], ["cases", "number"]],
    known.map((point) => [goto(point) ? link(goto(point), point.run) : point.run, point.backend, rate(point.solve_rate), dollars(point.cost_usd), count(point.cases)]));
}
