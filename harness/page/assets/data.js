// The data in the page: an overview with a row for each case, and blocks with their details, all compressed.

async function unpack(id) {
  const text = document.getElementById(id).textContent.trim();
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

// Puts the texts of a block back in their places.
function whole(value, texts) {
  if (typeof value === "string") return value[0] === "\u0001" ? texts[Number(value.slice(1))] : value;
  if (Array.isArray(value)) return value.map((item) => whole(item, texts));
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, whole(item, texts)]));
  return value;
}

const embedded = {
  blocks: new Map(),
  live: false,
  overview: () => unpack("overview"),
  async details(key) {
    const [block, place] = key.split(".");
    if (!this.blocks.has(block)) this.blocks.set(block, unpack(`block-${block}`));
    const [texts, details] = await this.blocks.get(block);
    return whole(details[Number(place)], texts);
  },
};

// The cases of the page. `all` are the indices of all rows; a column is `cases.get(name)`.
class Cases {
  constructor(columns) {
    this.columns = columns;
    this.length = columns.key.length;
    this.places = new Map(columns.key.map((key, index) => [key, index]));
    this.order = [...columns.key.keys()].sort((one, other) => this.compare(one, other));
    this.words = columns.id.map((id, n) => `${id} ${columns.ending[n]} ${columns.why[n]}`.toLowerCase());
  }

  // Cases are listed by name, and their replicates by number.
  compare(one, other) {
    const { case: names, replicate, run } = this.columns;
    if (names[one] !== names[other]) return names[one] < names[other] ? -1 : 1;
    return replicate[one] - replicate[other] || run[one] - run[other];
  }

  get(name) {
    return this.columns[name];
  }

  row(index) {
    return Object.fromEntries(Object.entries(this.columns).map(([name, values]) => [name, values[index]]));
  }

  values(name) {
    this.known ??= {};
    return (this.known[name] ??= [...new Set(this.columns[name])].sort());
  }

  matching(filter) {
    const wanted = FILTERS.filter((name) => filter[name]).map((name) => [this.columns[name], filter[name]]);
    const words = (filter.q || "").toLowerCase().split(/\s+/).filter(Boolean);
    const run = filter.run ? Number(filter.run) : null;
    const found = [];
    for (const index of this.order) {
      if (run !== null && this.columns.run[index] !== run) continue;
      if (wanted.every(([column, value]) => column[index] === value) && words.every((word) => this.words[index].includes(word)))
        found.push(index);
    }
    return found;
  }
}

const FILTERS = ["backend", "model", "environment", "outcome", "ending", "cause"];

function mean(values) {
  const some = values.filter((value) => value !== null);
  return some.length ? some.reduce((sum, value) => sum + value, 0) / some.length : null;
}

function sum(values) {
  const some = values.filter((value) => value !== null);
  return some.length ? some.reduce((total, value) => total + value, 0) : null;
}

function groups(indices, name) {
  const found = new Map();
  for (const index of indices) {
    const key = name(index);
    if (!found.has(key)) found.set(key, []);
    found.get(key).push(index);
  }
  return found;
}
