"""How quick the page of 10,000 cases is in Chromium, against a page of 100: `make page` installs what it needs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from msgspec import Struct

from harness.page.make import make_page
from tests.page.chromium import Chromium
from tests.support.many_cases import write_many_cases

MANY, FEW, ROUNDS = 10_000, 100, 5
_FILTERS = ("?backend=claude", "?q=approach.py:7", "?outcome=failed&environment=room03", "?sort=-cost_usd", "")
_FILTERED = """async (places) => {
  const times = [];
  for (const place of places) {
    const begun = performance.now();
    location.hash = `#/${place}`;
    await new Promise((done) =>
      addEventListener("hashchange", () => requestAnimationFrame(() => setTimeout(done, 0)), { once: true }));
    times.push(performance.now() - begun);
    await new Promise((done) => setTimeout(done, 400));
  }
  return times;
}"""


class Speed(Struct, frozen=True):
    """The size of a page, and the median times of opening it and of another filter, with the slowest of each."""

    megabytes: float
    ready_ms: list[float]
    filter_ms: list[float]


def measure(chromium: Chromium, file: Path) -> Speed:
    """Open a page some times and use each filter. A filter's time ends when its first frame is drawn."""
    ready, filtered = [], []
    for _ in range(ROUNDS):
        with chromium.opened(file) as page:
            tab: Any = page.tab
            ready.append(float(tab.evaluate("performance.getEntriesByName('ready')[0].startTime")))
            tab.wait_for_timeout(1000)
            filtered += tab.evaluate(_FILTERED, list(_FILTERS))
    return Speed(file.stat().st_size / 1e6, ready, filtered)


def main() -> None:
    """Print sizes, times, and the ratios of the large page to the small one."""
    with tempfile.TemporaryDirectory() as folder, Chromium.started() as chromium:
        found = {}
        for count in (FEW, MANY):
            run = write_many_cases(Path(folder) / str(count) / "20261126T010000.000Z-nightly", count)
            file = Path(folder) / f"{count}.html"
            make_page(file, [run])
            found[count] = measure(chromium, file)
    print(f"the page in Chromium (load {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores):")
    for count, speed in found.items():
        times = [f"{median(ms):.0f} ms (slowest {max(ms):.0f})" for ms in (speed.ready_ms, speed.filter_ms)]
        print(f"  {count:6,} cases: {speed.megabytes:.1f} MB, ready in {times[0]}, filter in {times[1]}")
    few, many = found[FEW], found[MANY]
    ratios = [median(many.ready_ms) / median(few.ready_ms), median(many.filter_ms) / median(few.filter_ms)]
    print(f"  {MANY // FEW} times the cases take {ratios[0]:.1f} times as long to open and {ratios[1]:.1f} to filter")


if __name__ == "__main__":
    main()
