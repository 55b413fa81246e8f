// The first view: the verdict, the counts, the heatmap, the charts and the table of cases, for the cases of the filter.

const ORDER = ["passed", "failed", "error", "skipped"];
const LOUD = ["worse", "better"];
const ROWS_SHOWN = 50;
const CHARTS_WAIT_MS = 120; // while somebody types, the charts wait

// Builds the view once. A new filter changes only the parts that depend on it.
function showOverview(page, main) {
  if (page.shown?.cases !== page.cases || !main.contains(page.shown.form)) {
    const parts = Object.fromEntries(["counts", "heatmap", "list"].map((name) => [name, el("div")]));
    parts.form = filters(page);
    parts.charts = el("section", { id: "charts", "aria-label": "Charts" }, el("h2", null, "Charts"), el("div", { class: "charts" }));
    page.shown = { ...parts, cases: page.cases };
    fill(
      main,
      el("h1", null, page.title), page.source.live ? liveHead(page) : about(page), verdict(page), parts.form,
      section("counts", "Outcomes", parts.counts),
      el("div", { class: "beside" }, section("heatmap", "Solve rates", parts.heatmap), changes(page)),
      parts.charts,
      section("cases", "Cases", parts.list)
    );
  }
  refresh(page, here().filter);
}

function refresh(page, filter) {
  const { shown, cases } = page;
  page.found = sorted(cases, cases.matching(filter), filter);
  showFilter(page, filter);
  fill(shown.counts, counts(cases, page.found));
  const asked = JSON.stringify([filter.backend, filter.model, filter.environment]);
  if (shown.asked !== asked) fill(shown.heatmap, heatmap(page, filter));
  shown.asked = asked;
  fill(shown.list, caseTable(page, page.found, filter));
  clearTimeout(shown.drawing);
  shown.drawing = setTimeout(() => drawCharts(page, shown.charts), shown.drawing ? CHARTS_WAIT_MS : 0);
}

function drawCharts(page, place) {
  if (!place.isConnected) return;
  const drawn = [frontier(page.cases, page.found), timeSpent(page.cases, page.found), endings(page.cases, page.found), trends(page)];
  fill(place.querySelector(".charts"), drawn);
}
function about(page) {
  const described = page.runs.map((run, number) =>
    el("li", null, page.runs.length > 1 ? link(withFilter({ run: String(number) }), run.name) : el("code", null, run.name),
      ` ${count(run.cases)} sessions${run.began ? `, begun ${moment(run.began)}` : ""}, Proctor ${run.harness.map((one) => one.slice(0, 12)).join(", ")}`)
  );
  const missing = page.unrecorded.length
    ? el("p", { class: "warning" }, `${count(page.unrecorded.length)} planned sessions have no record: ${page.unrecorded.slice(0, 5).join(", ")}${page.unrecorded.length > 5 ? ", …" : ""}`)
    : null;
  const scripted = page.cases.length && page.cases.get("scripted").every(Boolean)
    ? el("p", { class: "note" }, "Every answer was written or recorded beforehand: these results measure the pipeline, and no model.")
    : null;
  return [el("ul", { class: "runs" }, described), missing, scripted];
}

function verdict(page) {
  const found = page.verdict;
  if (!found) return null;
  const open = found.changes.some((one) => ["incomparable", "inconclusive"].includes(one.verdict));
  const [kind, mark] = found.alarming ? ["bad", "▼"] : open ? ["", "?"] : ["good", "✓"];
  return el(
    "p", { class: `verdict ${kind}` },
    el("strong", null, el("span", { "aria-hidden": "true" }, `${mark} `), found.line), ` (against ${found.against.join(", ")})`,
    found.notes.map((note) => el("span", { class: "quiet" }, ` ${note}.`))
  );
}

function changes(page) {
  const found = page.verdict ? page.verdict.changes : [];
  if (!found.length) return null;
  const loud = found.filter((one) => LOUD.includes(one.verdict));
  const rest = found.filter((one) => !LOUD.includes(one.verdict));
  return section("changes", "What changed since the baseline",
    loud.length ? changesTable("What changed since the baseline", loud) : null,
    rest.length ? el("details", { open: !loud.length && rest.length <= ROWS_SHOWN }, el("summary", null, `${count(rest.length)} without a verdict of better or worse`),
      changesTable("Without a verdict of better or worse", rest)) : null);
}

function changesTable(caption, found) {
  const goto = (one) => withFilter(one.level === "case" ? { q: one.name } : FILTERS.includes(one.level) ? { [one.level]: one.name } : {});
  return table(caption,
    [["what"], ["measure", "short wide"], ["verdict"], ["before", "number"], ["now", "number"], ["why", "wide"]],
    found.map((one) => [
      link(goto(one), one.level === "case" ? one.name : one.level === "suite" ? "the whole suite" : `${one.level} ${one.name}`),
      one.measure, el("span", { class: `word ${one.verdict}` }, one.verdict), one.before, one.now, one.why,
    ]));
}

// A choice for each property with several values, and a field for text. `showFilter` sets them.
function filters(page) {
  const choose = (name) => {
    const values = name === "run" ? page.runs.map((run, number) => [String(number), run.name]) : page.cases.values(name).map((value) => [value, value]);
    const options = [["", "all"], ...values].map(([value, shown]) => el("option", { value }, shown));
    return el("label", { for: `filter-${name}`, hidden: values.length < 2 || (name === "run" && page.source.live) }, name, el(
      "select", { id: `filter-${name}`, onchange: (event) => { location.hash = withFilter({ [name]: event.target.value }); } }, options
    ));
  };
  const search = el("input", {
    id: "search", type: "search", placeholder: "name, ending, reason", autocomplete: "off",
    oninput: (event) => page.refilter(event.target.value),
  });
  return el(
    "form", { class: "filters", role: "search", "aria-label": "Filter the cases", onsubmit: (event) => event.preventDefault() },
    ["run", ...FILTERS].map(choose), el("label", { for: "search", class: "search" }, "text", search), el("p", { id: "many" })
  );
}

function showFilter(page, filter) {
  for (const name of ["run", ...FILTERS]) {
    const select = document.getElementById(`filter-${name}`);
    const value = filter[name] || "";
    if (![...select.options].some((option) => option.value === value)) select.append(el("option", { value }, value));
    select.value = value;
    if (value) select.parentElement.hidden = false;
  }
  const search = document.getElementById("search");
  if (search !== document.activeElement) search.value = filter.q || "";
  const active = ["run", "q", ...FILTERS].some((name) => filter[name]);
  fill(document.getElementById("many"), el("strong", null, count(page.found.length)), ` of ${count(page.cases.length)} sessions `,
    active ? link(address("overview", [], { runs: filter.runs || "" }), "show all") : null);
}

function counts(cases, indices) {
  const many = groups(indices, (n) => cases.get("outcome")[n]);
  const bar = el("div", { class: "bar", "aria-hidden": "true" },
    ORDER.filter((name) => many.has(name)).map((name) => el("span", { class: name, "--share": many.get(name).length })));
  const tiles = ORDER.filter((name) => many.has(name)).map((name) =>
    el("a", { class: "tile", href: withFilter({ outcome: name }) }, el("b", null, count(many.get(name).length)), outcome(name)));
  const column = (name) => indices.map((n) => cases.get(name)[n]);
  const totals = [
    ["solve rate", rate(mean(column("solve_rate")))], ["cost", dollars(sum(column("cost_usd")))],
    ["turns", count(sum(column("turns")))], ["output tokens", count(sum(column("output_tokens")))], ["time", seconds(sum(column("total_s")))],
  ].map(([name, value]) => el("div", { class: "tile" }, el("b", null, value), el("span", null, name)));
  const causes = [...groups(indices, (n) => cases.get("cause")[n])].sort(([, one], [, other]) => other.length - one.length);
  return [
    bar, el("div", { class: "tiles" }, tiles, totals),
    causes.length ? el("p", { class: "causes" }, "ended by: ", causes.map(([name, members]) => link(withFilter({ cause: name }), `${name} ${count(members.length)}`))) : null,
  ];
}

function heatmap(page, filter) {
  const cells = page.cells.filter((cell) => ["backend", "model", "environment"].every((name) => !filter[name] || filter[name] === cell[name]));
  if (!cells.length) return el("p", { class: "quiet" }, "No case of this filter was graded.");
  const environments = [...new Set(cells.map((cell) => cell.environment))].sort();
  const rows = [...groups(cells.keys(), (n) => `${cells[n].backend} × ${cells[n].model}`)].sort(([one], [other]) => one < other ? -1 : 1);
  const shown = (cell) => {
    if (!cell) return NOTHING;
    const goto = withFilter({ backend: cell.backend, model: cell.model, environment: cell.environment });
    const beside = [interval(cell.low, cell.high), cell.programs > 1 ? `n=${cell.programs}` : "", cell.missing ? `${cell.missing} lost` : ""];
    return el("a", {
      class: "heat", href: goto, "--value": cell.mean === null ? 0 : cell.mean,
      title: cell.how ? `95% interval, ${cell.how}` : null,
    }, el("b", null, rate(cell.mean)), el("small", null, beside.filter(Boolean).join(" · ")));
  };
  return [
    table("Solve rate of each backend and model on each environment", [["backend × model"], ...environments.map((name) => [link(withFilter({ environment: name }), name), "cell"])],
      rows.map(([name, members]) => [link(withFilter({ backend: cells[members[0]].backend, model: cells[members[0]].model }), name), ...environments.map((environment) => shown(members.map((n) => cells[n]).find((cell) => cell.environment === environment)))])),
    el("p", { class: "quiet" }, "Mean solve rate over the programs of a case, with its 95% interval. Within one program, the interval is over its episodes, and says nothing of the next program."),
  ];
}

const COLUMNS = [
  ["id", "case", "", (row, page) => [link(caseAddress(row.key), row.id), page.runs.length > 1 ? el("small", { class: "run" }, page.runs[row.run].name) : null]],
  ["outcome", "outcome", "", (row) => [outcome(row.outcome), row.known_failure ? el("small", null, " known") : null,
    row.ending === "finished" ? null : el("small", { class: "narrow" }, row.ending.replaceAll("_", " "))]],
  ["solve_rate", "solve rate", "number", (row) => row.episodes ? [rate(row.solve_rate), el("small", { class: "wide" }, ` ${row.solved}/${row.episodes}`)] : NOTHING],
  ["turns", "turns", "number wide", (row) => count(row.turns)],
  ["output_tokens", "tokens", "number wide", (row) => count(row.output_tokens)],
  ["cost_usd", "cost", "number wide", (row) => dollars(row.cost_usd)],
  ["total_s", "time", "number", (row) => seconds(row.total_s)],
  ["ending", "ending", "short wide", (row) => row.ending.replaceAll("_", " ")],
  ["why", "why", "why wide", (row) => row.outcome === "passed" && !row.warnings ? "" : el("span", { class: "clamp" }, row.why)],
];

function sorted(cases, indices, filter) {
  const name = (filter.sort || "").replace(/^-/, "");
  if (!COLUMNS.some(([column]) => column === name)) return indices;
  const sign = filter.sort.startsWith("-") ? -1 : 1;
  const column = cases.get(name);
  return [...indices].sort((one, other) => {
    const [a, b] = [column[one], column[other]];
    if (a === b) return 0;
    if (a === null) return 1;
    if (b === null) return -1;
    return (a < b ? -1 : 1) * sign;
  });
}

function caseTable(page, indices, filter) {
  const shownPage = Math.max(0, Number(filter.page || 0) || 0);
  const last = Math.max(0, Math.ceil(indices.length / ROWS_SHOWN) - 1);
  const start = Math.min(shownPage, last) * ROWS_SHOWN;
  const rows = indices.slice(start, start + ROWS_SHOWN).map((index) => page.cases.row(index));
  const heading = ([name, title]) => {
    const descends = filter.sort === name;
    const mark = filter.sort === name ? " ▲" : filter.sort === `-${name}` ? " ▼" : "";
    return el("a", { href: withFilter({ sort: descends ? `-${name}` : name }), "aria-label": `sort by ${title}` }, title, mark);
  };
  const pages = last ? el("nav", { class: "pages", "aria-label": "Pages of the table" },
    shownPage > 0 ? link(withFilter({ page: String(shownPage - 1) }), "◀ previous") : null,
    el("span", null, `${count(start + 1)}–${count(start + rows.length)} of ${count(indices.length)}`),
    shownPage < last ? link(withFilter({ page: String(shownPage + 1) }), "next ▶") : null) : null;
  const shown = table("Cases", COLUMNS.map((column) => [heading(column), column[2]]), rows.map((row) => COLUMNS.map(([, , , cell]) => cell(row, page))));
  shown.id = "case-table";
  return indices.length ? [shown, pages] : el("p", { class: "quiet" }, "No session fits this filter.");
}
