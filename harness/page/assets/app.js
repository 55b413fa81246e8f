// The page itself: the bar on top, the keys, and which view is shown.

const KEYS = [
  ["/", "search"], ["j, k", "next and previous turn or row"], ["Enter", "open the row"], ["n, p", "next and previous case"],
  ["o", "overview"], ["t", "light, dark or as the system"], ["?", "these keys"],
];
const THEMES = ["auto", "light", "dark"];

async function start(source) {
  const overview = await source.overview();
  const page = { ...overview, source, cases: new Cases(overview.rows), found: null, state: await source.state?.() };
  page.title = page.runs.length === 1 ? page.runs[0].name : `${page.runs.length} runs`;
  let waiting = null;
  page.refilter = (words) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      history.replaceState(null, "", withFilter({ q: words }));
      show(page);
    }, 30);
  };
  bar(page);
  window.addEventListener("hashchange", () => show(page));
  document.addEventListener("keydown", (event) => pressed(page, event));
  await show(page);
  document.documentElement.dataset.ready = "true";
  performance.mark("ready");
  return page;
}

async function show(page) {
  const main = document.getElementById("main");
  const { view, keys } = here();
  if (page.source.live) await page.source.fit(page);
  if (view === "case" && page.source.live && !page.cases.places.has(keys[0])) await showRunning(page, main, keys[0]);
  else if (view === "case") await showCase(page, main, keys[0]);
  else if (view === "compare") await showComparison(page, main, keys);
  else showOverview(page, main);
  const title = main.querySelector("h1").textContent;
  if (view !== page.view || view !== "overview") {
    window.scrollTo({ top: 0, behavior: "instant" });
    say(title);
  } else say(`${count(page.found.length)} sessions`);
  document.title = view === "overview" ? `${page.title} · Proctor` : `${title} · Proctor`;
  page.view = view;
  document.documentElement.dataset.view = view;
}

function bar(page) {
  setTheme(remembered());
  fill(
    document.getElementById("top"),
    el("a", { class: "brand", href: "#/" }, "Proctor"),
    el("span", { class: "quiet wide" }, page.source.live ? `live, version ${page.version}` : `made ${moment(page.made_at)} by version ${page.version}`),
    el("span", { class: "grow" }),
    el("button", { type: "button", id: "theme", onclick: nextTheme }, "theme: auto"),
    el("button", { type: "button", onclick: help, "aria-haspopup": "dialog" }, "keys")
  );
  setTheme(remembered());
}

function remembered() {
  try {
    return localStorage.getItem("proctor-theme") || "auto";
  } catch {
    return "auto"; // a page from a file may have no storage
  }
}

function setTheme(name) {
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  const button = document.getElementById("theme");
  if (button) button.textContent = `theme: ${name}`;
}

function nextTheme() {
  const now = document.documentElement.dataset.theme || "auto";
  const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
  try {
    localStorage.setItem("proctor-theme", next);
  } catch {
    // it holds until the page is closed
  }
  setTheme(next);
}

function help() {
  const dialog = el("dialog", { "aria-labelledby": "keys-title" }, el("h2", { id: "keys-title" }, "Keys"),
    facts(KEYS.map(([key, words]) => [key, words])), el("form", { method: "dialog" }, el("button", null, "close")));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

function pressed(page, event) {
  const typing = event.target.matches("input, select, textarea") || document.querySelector("dialog[open]");
  if (event.key === "Escape" && event.target.id === "search") event.target.blur();
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const does = {
    "/": () => document.getElementById("search")?.focus(),
    o: () => { location.hash = address("overview", [], here().filter); },
    t: nextTheme,
    "?": help,
    n: () => document.getElementById("next")?.click(),
    p: () => document.getElementById("previous")?.click(),
    j: () => move(1),
    k: () => move(-1),
  }[event.key];
  if (does) {
    event.preventDefault();
    does();
  }
}

// Moves the focus to the next turn of a transcript, or to the next row of the table.
function move(step) {
  const stops = [...document.querySelectorAll(here().view === "overview" ? "#case-table tbody th a" : ".thread .turn[tabindex]")];
  const now = stops.findIndex((stop) => stop === document.activeElement || stop.contains(document.activeElement));
  const next = stops[Math.min(stops.length - 1, Math.max(0, now + step))];
  if (next) {
    next.focus();
    next.scrollIntoView({ block: "center" });
  }
}
