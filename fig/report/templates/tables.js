"use strict";
// A press on a column's heading sorts the table by it, up and then down; a box above long tables filters their rows.
// Without this script the tables keep the order in which they were written.
const LONG = 8;

function number(text) {
  const found = text.replace(/[−–]/g, "-").match(/^[+-]?\d[\d,]*(\.\d+)?(?=$|[\s%(])/);
  return found ? Number(found[0].replaceAll(",", "")) : NaN;
}

function content(row, column) {
  const cell = row.cells[column];
  const text = cell ? (cell.dataset.value ?? cell.textContent).trim() : "";
  return text.startsWith("—") ? "" : text;
}

function compared(rows, column) {
  const texts = new Map(rows.map((row) => [row, content(row, column)]));
  const numeric = rows.every((row) => texts.get(row) === "" || !Number.isNaN(number(texts.get(row))));
  return (a, b) => numeric
    ? number(texts.get(a)) - number(texts.get(b))
    : texts.get(a).localeCompare(texts.get(b), "en", { numeric: true });
}

function sort(table, heading, column) {
  const down = heading.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.querySelectorAll("th")) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
  const rows = [...table.tBodies[0].rows];
  const empty = rows.filter((row) => content(row, column) === "");
  const full = rows.filter((row) => content(row, column) !== "");
  full.sort(compared(full, column));
  if (down) full.reverse();
  table.tBodies[0].append(...full, ...empty);
}

function sortable(table) {
  const headings = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  headings.forEach((heading, column) => {
    if (heading.textContent.trim() === "" || "fixed" in heading.dataset) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => sort(table, heading, column));
  });
}

function filterable(table) {
  const label = document.createElement("label");
  const box = document.createElement("input");
  const count = document.createElement("span");
  box.type = "search";
  label.className = "filter";
  count.setAttribute("aria-live", "polite");
  label.append("Rows with", box, count);
  box.addEventListener("input", () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = [...table.tBodies[0].rows];
    for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
    count.textContent = words.length ? `${rows.filter((row) => !row.hidden).length} of ${rows.length}` : "";
  });
  (table.closest(".wide") ?? table).before(label);
}

// What the columns mean shows on hover; this list is for keys, touch and screen readers.
function explain(table) {
  const headings = [...table.tHead.rows[table.tHead.rows.length - 1].cells].filter((heading) => heading.title);
  if (!headings.length) return;
  const box = document.createElement("details"), list = document.createElement("dl");
  box.className = "meanings";
  box.append(Object.assign(document.createElement("summary"), { textContent: "What the columns mean" }), list);
  for (const heading of headings) {
    for (const [tag, text] of [["dt", heading.textContent], ["dd", heading.title]]) {
      list.append(Object.assign(document.createElement(tag), { textContent: text }));
    }
  }
  (table.closest(".wide") ?? table).after(box);
}

// A table that is wider than the screen scrolls in its box, by keys too.
for (const box of document.querySelectorAll(".wide:not([tabindex])")) {
  const above = (heading) => heading.compareDocumentPosition(box) & Node.DOCUMENT_POSITION_FOLLOWING;
  const before = [...document.querySelectorAll("h2, h3")].filter(above);
  box.tabIndex = 0;
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", before.at(-1)?.textContent ?? "Table");
}

for (const table of document.querySelectorAll("table.sortable, table.dataframe")) {
  if (!table.tHead || !table.tBodies.length) continue;
  explain(table);
  sortable(table);
  if (table.tBodies[0].rows.length > LONG) filterable(table);
}
