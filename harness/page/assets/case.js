// One case: its numbers, then its transcripts, submission, episodes, prompt and conditions.

const LIMITS = { turns: "turns", tokens: "tokens, without cached input", cost_usd: "cost", wall_s: "time of the agent" };

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
    section("episodes", "Episodes", data.counts.length ? byCount(data.counts, record.counts ? record.counts.argument : "number of objects") : null, episodes(data)),
    record.history.length ? section("growth", "How the submission grew", growth(record.history)) : null,
    data.submission.length ? section("submission", "Submission", data.submission.map(file)) : null,
    prompts(data.transcripts),
    section("conditions", "Conditions and limits", conditions(record)),
  ];
  fill(
    main,
    el("p", { class: "back" }, link(address("overview", [], here().filter), "◀ all cases"), neighbours(page, index)),
    el("h1", null, row.id),
    el("p", { class: "lead" }, outcome(row.outcome), " ", record.explanation),
    replicates(page, index, row),
    el("nav", { class: "sections", "aria-label": "Parts of this case" }, parts.flat().filter(Boolean).map((part) =>
      el("a", { href: "#", onclick: (event) => { event.preventDefault(); part.scrollIntoView(); part.querySelector("h2").focus?.(); } }, part.querySelector("h2").textContent))),
    data.faults.map((fault) => el("p", { class: "warning" }, fault)),
    parts
  );
}

// The other replicates of the case, in the same run.
function replicates(page, index, row) {
  const { cases } = page;
  const others = cases.get("case").flatMap((name, n) => (name === row.case && n !== index && cases.get("run")[n] === row.run ? [n] : []));
  return others.length ? el("p", { class: "replicates" }, "other replicates: ", others.map((n) =>
    link(caseAddress(cases.get("key")[n]), `r${cases.get("replicate")[n]} `, outcome(cases.get("outcome")[n]), ` ${rate(cases.get("solve_rate")[n])}`))) : null;
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
  const tests = Object.entries(record.tests);
  return [
    facts([
      ["solve rate", score ? `${rate(score.solve_rate)} (${score.solved} of ${score.episodes} episodes${data.interval ? `, 95% interval ${interval(...data.interval)}` : ""}; ${rate(record.pass_solve_rate)} needed)` : "not graded"],
      ["ending", `${record.ending.replaceAll("_", " ")} (${record.cause})`],
      ["turns", counted("turns", count)], ["tool calls", counted("tool_calls", count)],
      ["input tokens", counted("input_tokens", count)], ["from the cache", counted("cache_read_tokens", count)],
      ["output tokens", counted("output_tokens", count)], ["cost", counted("cost_usd", dollars)],
      ["time", timing.total_s === null ? null : `${seconds(timing.total_s)}: ${seconds(timing.model_s)} model, ${seconds(timing.tools_s)} tools, ${seconds(timing.evaluation_s)} grading`],
      ["begun", moment(record.started_at)],
      ["CLI", record.versions.cli], ["environment", record.versions.environment], ["sandbox", record.versions.sandbox],
      ["compactions", record.compactions || null], ["denials", record.denials || null],
      ["tests", tests.map(([name, result]) => `${name}: ${result}`).join("; ")],
      ["files", data.folder],
    ]),
    record.scripted ? el("p", { class: "note" }, "The answers were written or recorded beforehand: this measures the pipeline, and no model.") : null,
    record.known_failure ? el("p", { class: "note" }, `A known failure: ${record.known_failure.reason}`) : null,
    [...record.warnings, ...record.weaker_limits.map((limit) => `A weaker limit: ${limit}`)].map((text) => el("p", { class: "warning" }, text)),
    limits(record),
    worldUse(record.telemetry),
    record.differences.length ? table("Differences between the CLI's report and the ledger",
      [["attempt", "number"], ["count"], ["the CLI reports", "number"], ["the ledger has", "number"], ["explained by", "text"]],
      record.differences.map((one) => [one.attempt, one.field.replaceAll("_", " "), count(one.reported), count(one.metered), one.explained || el("strong", null, "nothing")])) : null,
    record.attempts.length > 1 ? table("Attempts", [["attempt"], ["ending"], ["time", "number"], ["why", "text"]],
      record.attempts.map((one, n) => [`${n + 1}`, one.ending.replaceAll("_", " "), seconds(one.seconds), one.explanation])) : null,
  ];
}

// What the session used of its limits, and what was left.
function limits(record) {
  const used = record.usage.metered || record.usage.reported;
  const tokens = used && used.input_tokens !== null && used.output_tokens !== null ? used.input_tokens + used.output_tokens : null;
  const rows = [["turns", used && used.turns, count], ["tokens", tokens, count], ["cost_usd", used && used.cost_usd, dollars], ["wall_s", record.timing.agent_s, seconds]]
    .map(([name, value, write]) => [name, value, record.limits[name], write])
    .filter(([, , most]) => most !== null && most !== undefined)
    .map(([name, value, most, write]) => [
      LIMITS[name], known(value, write), write(most), known(value, (one) => write(Math.max(0, most - one))),
      value === null ? NOTHING : el("span", { class: "meter", "aria-hidden": "true" }, el("span", { "--share": Math.min(1, value / most) })),
    ]);
  return rows.length ? table("Limits", [["limit"], ["used", "number"], ["allowed", "number"], ["left", "number"], ["", "wide"]], rows) : null;
}

// What the agent did with its environment while it worked. Records of older versions do not tell.
function worldUse(used) {
  if (!used) return null;
  const counts = [["trials", "trials"], ["resets", "resets"], ["steps", "steps"], ["renders", "pictures"], ["seeds", "seeds"], ["states", "states"], ["clients", "clients"], ["errors", "errors"]];
  const share = known(used.world_share, (one) => `${(100 * one).toFixed(one < 0.1 ? 1 : 0)}%`);
  return table("Use of the environment",
    [...counts.map(([, title]) => [title, "number"]), ["first trial after", "number"], ["its time", "number"], ["of the agent's", "number"]],
    [[...counts.map(([name]) => count(used[name])), seconds(used.first_trial_s), seconds(used.world_s), share]]);
}

function transcriptSection(data, all) {
  const many = all.transcripts.length > 1;
  return section(`transcript-${data.attempt}`, many ? `Transcript of attempt ${data.attempt}` : "Transcript",
    el("p", { class: "quiet" }, el("span", { class: "turns" }, turnsOf(data)), " ", el("button", { type: "button", onclick: (event) => fold(event.target.closest("section"), false) }, "fold all calls"), " ",
      el("button", { type: "button", onclick: (event) => fold(event.target.closest("section"), true) }, "unfold all")),
    data.faults.map((fault) => el("p", { class: "warning" }, fault)),
    thread(data.thread, all.pictures, 0));
}

function turnsOf(data) {
  const turns = data.thread.entries.filter((entry) => !entry.kind).length;
  return `${count(turns)} turn${turns === 1 ? "" : "s"} of the agent.`;
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
    el("details", null, el("summary", null, "all episodes"), table("Episodes", [["episode"], ...(data.counts.length ? [["objects", "number"]] : []), ["outcome"], ["steps", "number"], ["reward", "number"], ["time", "number"], ["error", "text"]],
      data.episodes.map((one) => [String(one.index), ...(data.counts.length ? [count(one.count)] : []), one.outcome, count(one.steps), known(one.reward, (value) => String(value)), seconds(one.seconds), one.error || ""]))),
  ];
}

function file(data) {
  const code = el("pre", { class: "source", tabindex: "0" }, data.pieces.map(([kind, text]) => (kind ? el("span", { class: `c-${kind}` }, text) : text)));
  return el("details", { open: data.name === "approach.py" }, el("summary", null, data.name), code, leftOut(data, `submission/${data.name}`));
}

function prompts(transcripts) {
  const first = transcripts.find((one) => one.prompt);
  if (!first) return null;
  return section("prompt", "Prompt", longText(first.prompt, 20000, "said", "prompt.md"),
    first.instructions ? el("details", null, el("summary", null, "standing instructions"), longText(first.instructions, 20000, "said", "instructions.md")) : null);
}

function conditions(record) {
  const pairs = (mapping) => Object.entries(mapping || {}).map(([name, value]) => [name, value === null ? NOTHING : typeof value === "object" ? JSON.stringify(value) : String(value)]);
  return [
    el("details", null, el("summary", null, "what the result depends on"), table("Conditions", [["condition"], ["value", "text"]], pairs(record.conditions))),
    el("details", null, el("summary", null, "limits"), table("Limits", [["limit"], ["value"]], pairs(record.limits))),
    el("details", null, el("summary", null, "the whole record"), el("pre", { tabindex: "0" }, JSON.stringify(record, null, 1))),
  ];
}
