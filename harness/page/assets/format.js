// How numbers are written. A missing measurement is a dash, never a zero.

const NOTHING = "–";

function known(value, write) {
  return value === null || value === undefined ? NOTHING : write(value);
}

function rate(value) {
  return known(value, (one) => one.toFixed(2));
}

function count(value) {
  return known(value, (one) => Math.round(one).toLocaleString("en-US"));
}

function dollars(value) {
  return known(value, (one) => `$${one >= 100 ? one.toFixed(0) : one >= 1 ? one.toFixed(2) : one.toFixed(4)}`);
}

function seconds(value) {
  return known(value, (one) => {
    if (one < 0.1) return `${(one * 1000).toFixed(0)} ms`;
    if (one < 100) return `${one.toFixed(1)} s`;
    if (one < 6000) return `${(one / 60).toFixed(0)} min`;
    return `${(one / 3600).toFixed(1)} h`;
  });
}

function moment(text) {
  return known(text, (one) => one.replace("T", " ").replace(/\.\d+/, "").replace("+00:00", " UTC").replace("Z", " UTC"));
}

function interval(low, high) {
  return low === null || high === null ? "" : `${low.toFixed(2)}–${high.toFixed(2)}`;
}

const OUTCOMES = { passed: "✓", failed: "✗", error: "!", skipped: "∅" };

function outcome(name) {
  return el("span", { class: `outcome ${name}` }, el("span", { "aria-hidden": "true" }, `${OUTCOMES[name] || "?"} `), name);
}
