// A transcript: turn by turn what the model said, the calls with their results, and what happened in between.

const SHOWN_TEXT = 4000;
const SHOWN_NOTICE = 600;
const LONG_THREAD = 300; // entries; of a longer one, the browser draws only what is in sight
const NOTICES = {
  started: "started", retry: "asked again", compaction: "the conversation was shortened", mcp: "MCP server",
  rate_limit: "rate limit", error: "error", limit: "a limit struck", ended: "ended", unknown: "unknown line", malformed: "malformed line",
};

function thread(data, pictures, depth) {
  const nodes = data.entries.map((entry) => (entry.kind ? notice(entry) : turn(entry, pictures, depth)));
  if (data.left_out) nodes.push(el("p", { class: "notice" }, `${count(data.left_out)} further entries are left out here.`));
  return el("ol", { class: nodes.length > LONG_THREAD ? "thread long" : "thread" }, nodes.map((node) => el("li", null, node)));
}

function notice(entry) {
  const { text } = entry.text;
  const short = text.length <= SHOWN_NOTICE;
  return el("div", { class: `notice ${entry.kind}` }, el("b", null, NOTICES[entry.kind] || entry.kind), short ? ` ${text}` : longText(entry.text, SHOWN_NOTICE));
}

function turn(data, pictures, depth) {
  const { metered } = data;
  const usage = metered ? metered.usage : data.usage;
  const sent = (usage.input_tokens || 0) + (usage.cache_read_tokens || 0) + (usage.cache_write_tokens || 0);
  const cost = metered && metered.cost_usd !== null ? metered.cost_usd : data.cost;
  const measures = [
    sent || usage.output_tokens ? `${count(sent)} → ${count(usage.output_tokens)} tokens` : null,
    cost ? dollars(cost) : null,
    metered && metered.failed.length ? `after ${failures(metered.failed)}` : null,
    metered ? `${seconds(metered.model_s)} model` : null,
    metered && metered.after_s !== null ? `${seconds(metered.after_s)} until the next request` : null,
    data.stop ? `stopped: ${data.stop.replaceAll("_", " ")}` : null,
  ].filter(Boolean).join(" · ");
  const title = data.n === null ? "A response without a number" : `Turn ${data.n}`;
  return el(
    "article", { class: "turn", tabindex: depth ? null : "-1", "aria-label": title },
    el("header", null, el(depth ? "h5" : "h4", null, title), el("span", { class: "quiet" }, measures)),
    data.parts.map((part) => (part.call === undefined ? said(part) : call(part, pictures, depth)))
  );
}

function failures(statuses) {
  const known = [...new Set(statuses.filter((status) => status !== null))].join(", ");
  return `${count(statuses.length)} failed request${statuses.length > 1 ? "s" : ""}${known ? ` (status ${known})` : ""}`;
}

function said(part) {
  const text = longText(part.text, SHOWN_TEXT, part.thinking ? "thinking" : "said");
  return part.thinking ? el("details", { class: "thinking", open: true }, el("summary", null, "reasoning"), text) : text;
}

function call(data, pictures, depth) {
  const state = data.denied ? "denied" : data.result === null ? "without a result" : data.error ? "failed" : "done";
  const marks = { denied: "⊘", failed: "✗", done: "✓", "without a result": "…" };
  const body = [
    data.denied ? el("p", { class: "warning" }, `Denied: ${data.denied}`) : null,
    data.changes.length ? data.changes.map(change) : longText(data.arguments, SHOWN_TEXT, "arguments"),
    data.result && data.result.text ? [el("p", { class: "label" }, "result"), longText(data.result, SHOWN_TEXT, data.error ? "result failed" : "result")] : null,
    data.pictures.filter((name) => pictures[name]).map((name) => el("img", { src: pictures[name], alt: `The picture ${name} that the agent drew`, loading: "lazy" })),
    data.subagent ? subagent(data.subagent, pictures, depth) : null,
  ];
  return el(
    "details", { class: `call ${data.error || data.denied ? "failed" : ""}`, open: true },
    el("summary", null, el("span", { "aria-hidden": "true" }, `${marks[state]} `), el("b", null, data.call), " ",
      el("code", null, data.about), el("span", { class: "quiet" }, ` ${state}${data.seconds === null ? "" : `, ${seconds(data.seconds)}`}`)),
    body
  );
}

function subagent(data, pictures, depth) {
  const turns = data.entries.filter((entry) => !entry.kind).length;
  if (!turns) return el("p", { class: "quiet" }, "It started a subagent. The CLI does not show what the subagent did.");
  return el("details", { class: "subagent" }, el("summary", null, `a subagent, ${count(turns)} turn${turns === 1 ? "" : "s"}`), thread(data, pictures, depth + 1));
}

function change(data) {
  const names = { "+": "added", "-": "removed", "@": "skipped", " ": "" };
  const lines = data.lines.map(([sign, text]) =>
    el("div", { class: names[sign] }, el("span", { "aria-hidden": "true", class: "sign" }, sign === "@" ? "⋯" : sign),
      el("span", { class: "hidden" }, names[sign] ? `${names[sign]}: ` : ""), text || " "));
  const first = lines.slice(0, 400);
  const rest = lines.slice(400);
  const body = el("div", { class: "diff", tabindex: "0" }, first);
  const more = rest.length ? el("button", { type: "button", class: "more", onclick: () => { body.append(...rest); more.remove(); } }, `show all ${count(lines.length)} lines`) : null;
  return el("figure", { class: "change" }, el("figcaption", null, data.path || "patch"),
    lines.length ? body : el("p", { class: "quiet" }, "The stream does not show what changed."), more);
}
