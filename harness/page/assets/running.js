// What runs now: a table of the running cases, the servers and GPUs, and the transcript of a case so far.

const DOING = { starting: "starts", model: "waits for the model", tool: "runs a tool", waiting: "waits for its next attempt", grading: "is graded" };

function runningSection(page) {
  const { state } = page;
  if (!state || !(state.runs.length || state.cases.length)) return el("div", { id: "running" });
  return section("running", "Running now",
    el("p", null, state.runs.map((run) => [link(withFilter({ runs: run.name }), run.name), ` ${count(run.recorded)} of ${count(run.planned)} sessions have ended. `])),
    state.cases.length ? runningTable(state) : el("p", { class: "quiet" }, "No case has begun that has not ended."),
    state.servers.length ? serverTable(state) : null, state.gpus.length ? gpuTable(state.gpus) : null);
}

function runningTable(state) {
  return table("Running cases",
    [["case"], ["now"], ["turn", "number"], ["tokens", "number wide"], ["tokens/s", "number"], ["cost", "number"], ["time", "number"]],
    state.cases.map((one) => [
      [link(caseAddress(one.key), one.id), state.runs.length > 1 ? el("small", { class: "wide" }, ` ${one.run}`) : null],
      doingNow(one), count(one.turn), `${count(one.input_tokens)} → ${count(one.output_tokens)}`,
      count(one.tokens_per_s), dollars(one.cost_usd), seconds(one.seconds),
    ]));
}

function doingNow(one) {
  const attempt = one.attempt > 1 ? `attempt ${one.attempt}: ` : "";
  const silent = one.silent_s >= 2 && one.doing !== "grading" ? `, ${seconds(one.silent_s)} without output` : "";
  const tool = one.tool ? (one.doing === "tool" ? ` (${one.tool})` : ` after ${one.tool}`) : "";
  return `${attempt}${DOING[one.doing]}${["tool", "model"].includes(one.doing) ? tool : ""}${silent}`;
}

function serverTable(state) {
  const named = new Map(state.gpus.map((gpu) => [gpu.uuid, gpu.name]));
  return table("Model servers", [["model server"], ["state"], ["since"], ["start", "number"], ["on", "wide"]],
    state.servers.map((one) => [one.key, `${one.event}${one.message ? `: ${one.message}` : ""}`, moment(one.at), seconds(one.seconds),
      one.gpus.map((uuid) => named.get(uuid) || uuid).join(", ") || "CPU"]));
}

function gpuTable(gpus) {
  return table("GPUs", [["GPU"], ["memory in use", "number"], ["of", "number"], ["processes", "number"]],
    gpus.map((one) => [one.name, `${count(one.used_mb)} MB`, `${count(one.memory_mb)} MB`, count(one.processes)]));
}

// The view of a case without a record. Each new look adds what is new to its transcripts, and moves nothing else.
async function showRunning(page, main, key) {
  const data = await live.details(key);
  if (!data) return notFound(main);
  const id = data.record.case.id;
  const transcripts = data.transcripts.map((one) => transcriptSection(one, data));
  fill(
    main,
    el("p", { class: "back" }, link(address("overview", [], here().filter), "◀ all cases")),
    el("h1", null, id),
    runningFacts(page, key, data),
    el("p", { id: "no-turn", class: "quiet" }, transcripts.length ? "" : "There is no turn yet."),
    el("div", { id: "so-far" }, transcripts),
    prompts(data.transcripts)
  );
  page.followed = { key, data, size: shownCase(page, key)?.size, entries: data.transcripts.map(written) };
}

function shownCase(page, key) {
  return page.state?.cases.find((one) => one.key === key);
}

function runningFacts(page, key, data) {
  const now = shownCase(page, key);
  const { limits } = data.record;
  const of = (value, limit, write) => (limit === null || limit === undefined ? write(value) : `${write(value)} of ${write(limit)}`);
  return el("div", { id: "now" }, now
    ? [el("p", { class: "lead" }, "● ", doingNow(now)), facts([
      ["turn", of(now.turn, limits.turns, count)], ["tokens", `${count(now.input_tokens)} → ${count(now.output_tokens)}`],
      ["tokens/s", count(now.tokens_per_s)], ["cost", of(now.cost_usd, limits.cost_usd, dollars)],
      ["time", of(now.seconds, limits.wall_s, seconds)], ["run", now.run], ["files", data.folder],
    ])]
    : el("p", { class: "lead" }, "It is not running any more, and has no record yet."));
}

function written(transcript) {
  return transcript.thread.entries.map((entry) => JSON.stringify(entry));
}

// Brings the view of a running case up to date.
async function followCase(page, main) {
  const { key, size, entries } = page.followed;
  const now = shownCase(page, key);
  if (now?.size === size) return void document.getElementById("now").replaceWith(runningFacts(page, key, page.followed.data));
  const data = await live.details(key);
  if (!data || here().keys[0] !== key) return;
  const atEnd = window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 40;
  const lists = document.querySelectorAll("#so-far > section > .thread");
  if (lists.length !== data.transcripts.length) return showRunning(page, main, key);
  document.getElementById("now").replaceWith(runningFacts(page, key, data));
  data.transcripts.forEach((transcript, n) => {
    lists[n].parentNode.querySelector(".turns").textContent = turnsOf(transcript);
    const known = entries[n];
    written(transcript).forEach((text, place) => {
      if (known[place] === text) return;
      const entry = transcript.thread.entries[place];
      const item = el("li", null, entry.kind ? notice(entry) : turn(entry, data.pictures, 0));
      const before = lists[n].children[place];
      if (before) before.replaceWith(item);
      else lists[n].append(item);
    });
  });
  page.followed = { key, data, size: now?.size, entries: data.transcripts.map(written) };
  if (atEnd) window.scrollTo(0, document.documentElement.scrollHeight);
}
