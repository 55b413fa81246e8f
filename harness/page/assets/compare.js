// Two sessions side by side: where the agents parted.

async function showComparison(page, main, keys) {
  const indices = keys.map((key) => page.cases.places.get(key));
  if (keys.length !== 2 || indices.includes(undefined)) return notFound(main);
  const both = await Promise.all(keys.map((key) => page.source.details(key)));
  const names = indices.map((index) => named(page, index));
  const turns = both.map((data) => (data.transcripts.at(-1)?.thread.entries || []).filter((entry) => !entry.kind));
  const parted = firstDifference(...turns);
  const rows = Array.from({ length: Math.max(...turns.map((list) => list.length)) }, (_, n) =>
    el("li", { class: n === parted ? "parted" : "" }, n === parted ? el("p", { class: "note" }, "Here the agents parted.") : null,
      el("div", { class: "pair" }, turns.map((list, side) => el("div", null, el("p", { class: "label narrow" }, names[side]), list[n] ? turn(list[n], both[side].pictures, 0) : el("p", { class: "quiet" }, "no turn"))))));
  fill(
    main,
    el("p", { class: "back" }, link(address("overview", [], here().filter), "◀ all cases")),
    el("h1", null, "Two sessions"),
    el("div", { class: "pair heads" }, keys.map((key, side) => el("div", null, el("h2", null, link(caseAddress(key), names[side])),
      outcome(both[side].record.outcome), " ", both[side].record.explanation))),
    el("p", null, sameness(both[0].record.digests, both[1].record.digests)),
    el("ol", { class: "thread" }, rows)
  );
}

// The first turn that does other things: other words, or other calls.
function firstDifference(one, other) {
  const what = (data) => data && JSON.stringify(data.parts.map((part) => (part.call === undefined ? part.text.text : [part.call, part.arguments.text])));
  const longest = Math.max(one.length, other.length);
  for (let n = 0; n < longest; n++) if (what(one[n]) !== what(other[n])) return n;
  return -1;
}

function sameness(one, other) {
  return ["prompt", "instructions", "tools"].map((name) => `${one[name] === other[name] ? "The same" : "Another"} ${name}. `).join("");
}
