// Where the reader is, from the address: `#/?backend=claude&q=wall`, `#/case/3.1?…`, `#/compare/3.1/3.2?…`.

function here() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").filter(Boolean);
  return { view: parts[0] || "overview", keys: parts.slice(1), filter: Object.fromEntries(new URLSearchParams(query || "")) };
}

function address(view, keys, filter) {
  const query = new URLSearchParams(Object.entries(filter || {}).filter(([, value]) => value !== "" && value !== null)).toString();
  const path = view === "overview" ? "" : [view, ...keys].join("/");
  return `#/${path}${query ? `?${query}` : ""}`;
}

function withFilter(changes) {
  const { filter } = here();
  return address("overview", [], { ...filter, page: "", ...changes });
}

function caseAddress(key) {
  return address("case", [key], here().filter);
}
