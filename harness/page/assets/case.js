// One case: its numbers, then its transcripts, submission, episodes, prompt and conditions.

async function showCase(page, main, key) {
  const index = page.cases.places.get(key);
  if (index === undefined) return notFound(main);
  const row = page.cases.row(index);
  const data = await page.source.details(key);
  if (!data) return notFound(main);
  const { record } = data;
  const parts = [
    section("summary", "Summary", summary(record, row, data)),
    data.transcripts.map((one) => transcriptSection(one, data)),
    section("episodes", "Episodes", episodes(data)),
    data.submission.length ? section("submission", "Submission", data.submission.map(file)) : null,
    prompts(data.transcripts),
    section("conditions", "Conditions and limits", conditions(record)),
  ];
  fill(
    main,
    el("p", { class: "back" }, link(address("overview", [], here().filter), "◀ all cases"), neighbours(page, index)),
    el("h1", null, row.id),
    el("p", { class: "lead" }, outcome(row.outcome), " ", record.explanation),
    el("nav", { class: "sections", "aria-label": "Parts of this case" }, parts.flat().filter(Boolean).map((part) =>
      el("a", { href: "#", onclick: (event) => { event.preventDefault(); part.scrollIntoView(); part.querySelector("h2").focus?.(); } }, part.querySelector("h2").textContent))),
    data.faults.map((fault) => el("p", { class: "warning" }, fault)),
    parts
  );
}

function notFound(main) {
  fill(main, el("h1", null, "There is no such case here"), el("p", null, link(address("overview", [], {}), "◀ all cases")));
}

function neighbours(page, index) {
  const list = page.found || page.cases.matching(here().filter);
  const place = list.indexOf(index);
  const to = (n, words, id) => (n >= 0 && n < list.length ? el("a", { id, href: caseAddress(page.cases.get("key")[list[n]]) }, words) : null);
  const others = page.cases.matching({ environment: page.cases.get("environment")[index] }).filter((n) => n !== index);
  const compare = others.length ? el("label", null, "compare with ", el(
    "select", { id: "compare", onchange: (event) => { location.hash = address("compare", [page.cases.get("key")[index], event.target.value], here().filter); } },
    el("option", { value: "" }, "…"), others.slice(0, 200).map((n) => el("option", { value: page.cases.get("key")[n] }, named(page, n)))
  )) : null;
  return el("span", { class: "neighbours" }, to(place - 1, "◀ previous", "previous"), to(place + 1, "next ▶", "next"), compare);
}

function named(page, index) {
  const run = page.runs.length > 1 ? ` (${page.runs[page.cases.get("run")[index]].name})` : "";
  return page.cases.get("id")[index] + run;
}

function summary(record, row, data) {
  const { score, timing } = record;
  const both = record.usage;
  const counted = (name, write) => {
    const [metered, reported] = [both.metered, both.reported].map((one) => (one ? one[name] : null));
    if (metered === null && reported === null) return null;
    if (metered === null) return `${write(reported)} by the CLI's report`;
    return reported !== null && metered !== null && reported !== metered ? `${write(metered)} (the CLI reports ${write(reported)})` : write(metered);
  };
  const limits = [["turns", row.turns], ["tokens", null], ["cost_usd", row.cost_usd], ["wall_s", row.total_s]]
    .filter(([name]) => record.limits[name] !== null && record.limits[name] !== undefined)
    .map(([name, used]) => `${name} ${used === null ? "" : `${Math.round(used * 100) / 100} of `}${record.limits[name]}`);
  const tests = Object.entries(record.tests);
  return [
    facts([
      ["solve rate", score ? `${rate(score.solve_rate)} (${score.solved} of ${score.episodes} episodes, ${rate(record.pass_solve_rate)} needed)` : "not graded"],
      ["ending", `${record.ending.replaceAll("_", " ")} (${record.cause})`],
      ["turns", counted("turns", count)], ["tool calls", counted("tool_calls", count)],
      ["input tokens", counted("input_tokens", count)], ["from the cache", counted("cache_read_tokens", count)],
      ["output tokens", counted("output_tokens", count)], ["cost", counted("cost_usd", dollars)],
      ["time", `${seconds(timing.total_s)}: ${seconds(timing.model_s)} model, ${seconds(timing.tools_s)} tools, ${seconds(timing.evaluation_s)} grading`],
      ["limits", limits.join(", ")],
      ["begun", moment(record.started_at)],
      ["CLI", record.versions.cli], ["environment", record.versions.environment], ["sandbox", record.versions.sandbox],
      ["compactions", record.compactions || null], ["denials", record.denials || null],
      ["tests", tests.map(([name, result]) => `${name}: ${result}`).join("; ")],
      ["files", data.folder],
    ]),
    record.scripted ? el("p", { class: "note" }, "The answers were written or recorded beforehand: this measures the pipeline, and no model.") : null,
    record.known_failure ? el("p", { class: "note" }, `A known failure: ${record.known_failure.reason}`) : null,
    [...record.warnings, ...record.weaker_limits.map((limit) => `A weaker limit: ${limit}`)].map((text) => el("p", { class: "warning" }, text)),
    record.differences.length ? table("Differences between the CLI's report and the ledger",
      [["attempt", "number"], ["count"], ["the CLI reports", "number"], ["the ledger has", "number"], ["explained by", "wide"]],
      record.differences.map((one) => [one.attempt, one.field.replaceAll("_", " "), count(one.reported), count(one.metered), one.explained || el("strong", null, "nothing")])) : null,
    record.attempts.length > 1 ? table("Attempts", [["attempt"], ["ending"], ["time", "number"], ["why", "wide"]],
      record.attempts.map((one, n) => [`${n + 1}`, one.ending.replaceAll("_", " "), seconds(one.seconds), one.explanation])) : null,
  ];
}

function transcriptSection(data, all) {
  const many = all.transcripts.length > 1;
  const turns = data.thread.entries.filter((entry) => !entry.kind).length;
  return section(`transcript-${data.attempt}`, many ? `Transcript of attempt ${data.attempt}` : "Transcript",
    el("p", { class: "quiet" }, `${count(turns)} turns of the agent. `, el("button", { type: "button", onclick: (event) => fold(event.target.closest("section"), false) }, "fold all calls"), " ",
      el("button", { type: "button", onclick: (event) => fold(event.target.closest("section"), true) }, "unfold all")),
    data.faults.map((fault) => el("p", { class: "warning" }, fault)),
    thread(data.thread, all.pictures, 0));
}

function fold(place, open) {
  for (const node of place.querySelectorAll("details.call")) node.open = open;
}

function episodes(data) {
  if (!data.episodes.length) return el("p", { class: "quiet" }, data.record.score ? data.record.score.reason || "No episode was played." : "Nothing was graded.");
  const marks = data.episodes.map((one) => el("span", { class: `episode ${one.outcome === "solved" ? "passed" : "failed"}`, title: `episode ${one.index}: ${one.outcome}` }, one.outcome === "solved" ? "✓" : "✗"));
  const films = Object.entries(data.films).map(([name, source]) => {
    const [kind, number] = name.replace(".webp", "").split("-");
    return el("figure", null, el("img", { src: source, alt: `What happened in episode ${number}, which was ${kind}`, loading: "lazy" }), el("figcaption", null, `episode ${number}, ${kind}`));
  });
  return [
    el("p", { class: "episodes", role: "img", "aria-label": `${data.episodes.filter((one) => one.outcome === "solved").length} of ${data.episodes.length} episodes solved` }, marks),
    el("div", { class: "films" }, films),
    el("details", null, el("summary", null, "all episodes"), table("Episodes", [["episode"], ["outcome"], ["steps", "number"], ["reward", "number"], ["time", "number"], ["error", "wide"]],
      data.episodes.map((one) => [String(one.index), one.outcome, count(one.steps), known(one.reward, (value) => String(value)), seconds(one.seconds), one.error || ""]))),
  ];
}

function file(data) {
  const code = el("pre", { class: "source", tabindex: "0" }, data.pieces.map(([kind, text]) => (kind ? el("span", { class: `c-${kind}` }, text) : text)));
  return el("details", { open: data.name === "approach.py" }, el("summary", null, data.name), code, leftOut(data));
}

function prompts(transcripts) {
  const first = transcripts.find((one) => one.prompt);
  if (!first) return null;
  return section("prompt", "Prompt", longText(first.prompt, 20000, "said"),
    first.instructions ? el("details", null, el("summary", null, "standing instructions"), longText(first.instructions, 20000, "said")) : null);
}

function conditions(record) {
  const pairs = (mapping) => Object.entries(mapping || {}).map(([name, value]) => [name, value === null ? NOTHING : typeof value === "object" ? JSON.stringify(value) : String(value)]);
  return [
    el("details", null, el("summary", null, "what the result depends on"), table("Conditions", [["condition"], ["value", "wide"]], pairs(record.conditions))),
    el("details", null, el("summary", null, "limits"), table("Limits", [["limit"], ["value"]], pairs(record.limits))),
    el("details", null, el("summary", null, "the whole record"), el("pre", { tabindex: "0" }, JSON.stringify(record, null, 1))),
  ];
}
