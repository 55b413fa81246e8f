// The data of `proctor view`: asked from the server, which reads the folders of the runs. The address says which runs.

class Lost extends Error {}

async function ask(path) {
  const answer = await fetch(path, { cache: "no-store" }).catch((error) => { throw new Lost(error.message); });
  if (answer.status === 404) return null;
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

// Browsers ask for an icon at an address without the token, unless the page has one.
document.head.append(el("link", { rel: "icon", href: "data:," }));

function choice() {
  return here().filter.runs || "";
}

const live = {
  live: true,
  overview: () => ask(`overview?runs=${encodeURIComponent(choice())}`),
  details: (key) => ask(`details/${encodeURIComponent(key)}`),
  state: () => ask(`state?runs=${encodeURIComponent(choice())}`),

  // Makes the page hold the runs of the address.
  async fit(page) {
    if (page.choice !== choice()) take(page, await this.overview());
  },
};

// Puts a new overview into the page. A filter by run has the number of the run, which may be another one now.
function take(page, overview) {
  const { view, keys, filter } = here();
  if (filter.run) {
    const number = overview.runs.findIndex((run) => run.name === page.runs[Number(filter.run)]?.name);
    history.replaceState(null, "", address(view, keys, { ...filter, run: number < 0 ? "" : String(number) }));
  }
  Object.assign(page, overview, { cases: new Cases(overview.rows), found: null });
  page.title = page.runs.length === 1 ? page.runs[0].name : `${count(page.runs.length)} runs`;
}

const STATES = { running: "● running", killed: "▲ was killed", stopped: "▲ was stopped", ended: "" };

// What the overview begins with: which runs are shown, how far they are, and what runs now.
function liveHead(page) {
  return [chooser(page), runsShown(page), page.faults.map((fault) => el("p", { class: "warning" }, fault)), runningSection(page)];
}

function chooser(page) {
  const option = (value, words) => el("option", { value, selected: page.choice === value }, words);
  const chosen = page.choice;
  const group = (label, options) => (options.length ? el("optgroup", { label }, options) : null);
  return el("form", { class: "chooser", "aria-label": "Choose the runs", onsubmit: (event) => event.preventDefault() },
    el("label", { for: "choose-runs" }, "runs", el(
      "select", { id: "choose-runs", onchange: (event) => { location.hash = withFilter({ runs: event.target.value }); } },
      group("newest", [option("", "the newest 20"), option("last:100", "the newest 100"), option("all", `all ${count(page.all_runs.length)}`)]),
      group("the newest 20 of a suite", page.suites.map((name) => option(`suite:${name}`, name))),
      group("one run", page.all_runs.map((name) => option(name, name))),
      chosen && !["last:100", "all", ...page.all_runs].includes(chosen) && !chosen.startsWith("suite:") ? option(chosen, chosen) : null
    )),
    el("p", null, page.all_runs.length ? `of ${count(page.all_runs.length)} in ` : "There is no run yet in ", el("code", null, page.runs_folder)));
}

function runsShown(page) {
  const lines = page.runs.map((run, n) => {
    const { state, recorded, planned } = page.states[n];
    const done = planned && recorded < planned ? `${count(recorded)} of ${count(planned)}` : count(run.cases);
    return el("li", null, link(withFilter({ runs: run.name }), run.name), ` ${done} sessions`,
      run.began ? `, begun ${moment(run.began)}` : "", STATES[state] ? el("b", { class: `state ${state}` }, ` ${STATES[state]}`) : null);
  }).reverse();
  return [
    el("ul", { class: "runs" }, lines.slice(0, 5)),
    lines.length > 5 ? el("details", null, el("summary", null, `${count(lines.length - 5)} older runs`), el("ul", { class: "runs" }, lines.slice(5))) : null,
    page.unrecorded.length ? el("p", { class: "quiet" }, `${count(page.unrecorded.length)} planned sessions of runs that are over have no record.`) : null,
  ];
}
