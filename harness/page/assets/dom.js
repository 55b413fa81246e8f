// Makes elements. Text is always set as text, so nothing that an agent wrote is ever read as markup.

function el(tag, properties, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name.startsWith("--")) node.style.setProperty(name, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  append(node, children);
  return node;
}

function append(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : String(child));
  }
  return node;
}

function fill(node, ...children) {
  node.replaceChildren();
  return append(node, children);
}

function link(address, ...children) {
  return el("a", { href: address }, ...children);
}

// A table with a caption for screen readers. `columns` are [heading, class] pairs, `rows` are lists of cells.
function table(caption, columns, rows) {
  const head = el("tr", null, columns.map(([heading, kind]) => el("th", { scope: "col", class: kind }, heading)));
  const body = rows.map((row) =>
    el("tr", null, row.map((cell, n) => el(n ? "td" : "th", { class: columns[n][1], scope: n ? null : "row" }, cell)))
  );
  return el(
    "div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    el("table", null, el("caption", { class: "hidden" }, caption), el("thead", null, head), el("tbody", null, body))
  );
}

// A list of names and values.
function facts(pairs) {
  return el(
    "dl", { class: "facts" },
    pairs.filter(([, value]) => value !== null && value !== undefined && value !== "")
      .map(([name, value]) => el("div", null, el("dt", null, name), el("dd", null, value)))
  );
}

function section(id, title, ...children) {
  return el("section", { id, "aria-labelledby": `${id}-title` }, el("h2", { id: `${id}-title` }, title), children);
}

// Text that is cut after `most` characters, with a button that shows the rest.
function longText(text, most, kind, from) {
  const node = el("pre", { class: kind || "", tabindex: "0" });
  if (text.text.length <= most) node.textContent = text.text;
  else {
    node.textContent = text.text.slice(0, most);
    const rest = el("button", {
      type: "button", class: "more",
      onclick: () => { node.textContent = text.text; rest.remove(); node.focus(); },
    }, `show all ${count(text.text.length)} characters`);
    return [node, rest, leftOut(text, from)];
  }
  return [node, leftOut(text, from)];
}

// Says where the rest of a text is, if the page does not have all of it. `from` is a file in the folder of the case.
function leftOut(text, from) {
  return text.left_out ? el("p", { class: "quiet" }, `${count(text.left_out)} more characters are in the case's folder, in ${from || "stream.jsonl"}.`) : null;
}

function say(words) {
  document.getElementById("said").textContent = words;
}
