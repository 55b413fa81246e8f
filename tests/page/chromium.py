"""Opens pages in Chromium, and notes what a page must not do: errors, dialogs and requests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self

from harness.lazy import LazyModule
from tests.support.project import ROOT

playwright = LazyModule("playwright.sync_api")  # only `make page` installs it

WIDE, NARROW = 1360, 390
"""The width of a desktop's window and of a phone's, in pixels."""
Scheme = Literal["light", "dark"]

_AXE = ROOT / "tests/page/node_modules/axe-core/axe.min.js"
_SERIOUS = ("serious", "critical")
_OUTSIDE = """() => [...document.querySelectorAll("html, body *")].filter((node) => {
  if (node === document.documentElement) return node.scrollWidth > node.clientWidth;
  if (node.parentElement.closest(".scroll, pre, .diff, svg") || node.matches(".hidden, .skip, .hidden *")) return false;
  const { left, right, width } = node.getBoundingClientRect();
  return width > 0 && (left < -1 || right > document.documentElement.clientWidth + 1);
}).map((node) => `${node.tagName}.${node.className}: ${node.textContent.slice(0, 60)}`)"""


class Opened:
    """A page in a tab of its own. `faults` are the errors, dialogs and requests so far, each as a sentence."""

    def __init__(self, tab: Any, address: str, pictures: Path | None = None) -> None:
        self.tab = tab
        self.faults: list[str] = []
        self._address = address
        self._pictures = pictures
        tab.on("pageerror", lambda error: self.faults.append(f"an error: {error}"))
        tab.on("console", self._said)
        tab.on("dialog", self._asked)
        tab.on("request", self._requested)
        tab.on("popup", lambda other: self.faults.append(f"a window: {other.url}"))
        self.go("")
        tab.wait_for_selector("html[data-ready]")

    def go(self, place: str) -> None:
        """Open a place of the page by its address, as a reader does who was sent a link."""
        self.tab.goto(self._address + place)

    def wait_for(self, view: str, heading: str = "") -> None:
        """Wait until a view with this heading is shown."""
        self.tab.wait_for_selector(f"html[data-view={view}]")
        if heading:
            self.tab.locator("h1", has_text=heading).wait_for()

    def picture(self, name: str) -> None:
        """Take a screenshot of the whole page, if there is a folder for it."""
        if self._pictures:
            self.tab.screenshot(path=self._pictures / f"{name}.png", full_page=True)

    def barriers(self) -> list[str]:
        """Return what axe-core finds serious or critical in the view as it is."""
        if not self.tab.evaluate("() => 'axe' in window"):
            self.tab.evaluate(_AXE.read_text())  # as a debugger does: the page's own policy allows no such script
        found = self.tab.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")
        return [
            f"{one['id']} ({one['impact']}): {node['html'][:200]} {node['any'][0]['message'] if node['any'] else ''}"
            for one in found["violations"]
            if one["impact"] in _SERIOUS
            for node in one["nodes"]
        ]

    def outside(self) -> list[str]:
        """Return the elements that reach beyond the window, besides what is in a box that scrolls."""
        found: list[str] = self.tab.evaluate(_OUTSIDE)
        return found

    def _said(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.faults.append(f"on the console: {message.text}")

    def _asked(self, dialog: Any) -> None:
        self.faults.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    def _requested(self, request: Any) -> None:
        if not request.url.startswith((self._address, "data:")):
            self.faults.append(f"a request: {request.url}")


class Chromium:
    """A browser. Each page that it opens is a new visitor's."""

    def __init__(self, browser: Any) -> None:
        self._browser = browser

    @classmethod
    @contextmanager
    def started(cls) -> Iterator[Self]:
        """Start Debian's Chromium, and close it at the end."""
        with playwright.sync_playwright() as started:
            browser = started.chromium.launch(executable_path=shutil.which("chromium"))
            yield cls(browser)
            browser.close()

    @contextmanager
    def opened(
        self, page: Path | str, *, width: int = WIDE, scheme: Scheme = "light", pictures: Path | None = None
    ) -> Iterator[Opened]:
        """Open a page, by its file or its address. At the end, fail if it did what it must not do."""
        address = page.as_uri() if isinstance(page, Path) else page
        context = self._browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        try:
            opened = Opened(context.new_page(), address, pictures)
            yield opened
            assert opened.faults == []
        finally:
            context.close()
