// Follows the runs: asks every two seconds what has changed, and shows it without moving the reader.

const EVERY_MS = 2000;

async function follow(page) {
  let took = 0;
  try {
    if (!document.hidden) {
      const began = performance.now();
      await look(page);
      took = performance.now() - began;
    }
    lost(null);
  } catch (error) {
    if (!(error instanceof Lost)) console.error(error);
    lost(error);
  }
  setTimeout(() => follow(page), Math.max(EVERY_MS, 5 * took));
}

async function look(page) {
  page.state = await live.state();
  const main = document.getElementById("main");
  const changed = page.state.data_version !== page.data_version && !busy();
  if (changed) {
    const overview = await live.overview();
    if (overview.choice === choice()) take(page, overview);
  }
  if (page.view === "overview") {
    if (changed) keepPlace(() => showOverview(page, main));
    else keepPlace(() => document.getElementById("running")?.replaceWith(runningSection(page)));
  } else if (page.followed && page.view === "case" && here().keys[0] === page.followed.key) {
    if (page.cases.places.has(page.followed.key)) await show(page);
    else await followCase(page, main);
  }
}

// Whether the reader would lose something: an open list, a selection, a dialog.
function busy() {
  return document.activeElement?.tagName === "SELECT" || !getSelection().isCollapsed || Boolean(document.querySelector("dialog[open]"));
}

// Draws, and puts back the focus, what is unfolded, and how far everything is scrolled.
function keepPlace(draw) {
  const { scrollX, scrollY } = window;
  const active = document.activeElement;
  const same = (node) => node.tagName === active.tagName && node.id === active.id && node.getAttribute("href") === active.getAttribute("href") && (node.id || node.textContent === active.textContent);
  const inMain = document.getElementById("main").contains(active) && active.id !== "main";
  const typed = active.tagName === "INPUT" ? [active.value, active.selectionStart, active.selectionEnd] : null;
  const opened = [...document.querySelectorAll("#main details")].map((node) => [node.querySelector("summary").textContent, node.open]);
  const scrolled = [...document.querySelectorAll("#main .scroll")].map((node) => [node.getAttribute("aria-label"), node.scrollLeft]);
  draw();
  setTimeout(() => { // after the charts are drawn
    for (const node of document.querySelectorAll("#main details")) {
      const before = opened.find(([words]) => words === node.querySelector("summary").textContent);
      if (before) node.open = before[1];
    }
    for (const node of document.querySelectorAll("#main .scroll")) {
      const before = scrolled.find(([label]) => label === node.getAttribute("aria-label"));
      if (before) node.scrollLeft = before[1];
    }
    if (inMain && !active.isConnected) {
      const node = [...document.querySelectorAll("#main a, #main button, #main select, #main input, #main summary, #main [tabindex]")].find(same);
      node?.focus({ preventScroll: true });
      if (node && typed) {
        [node.value] = typed;
        node.setSelectionRange(typed[1], typed[2]);
      }
    }
    if (window.scrollY !== scrollY) window.scrollTo({ left: scrollX, top: scrollY, behavior: "instant" });
  }, 0);
}

function lost(error) {
  const id = "lost";
  const before = document.getElementById(id);
  if (!error) return before?.remove();
  if (!before) document.getElementById("top").after(el("p", { id, class: "warning", role: "alert" },
    "`proctor view` does not answer any more. This is what was last known; the page goes on when it answers again."));
}

start(live).then(follow).catch((error) => {
  document.getElementById("main").textContent = `This page cannot be shown: ${error}. It needs a browser of 2023 or later.`;
});
