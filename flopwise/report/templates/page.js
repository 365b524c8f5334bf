"use strict";
// A node that is pointed to opens, so that its prompt is seen.
function openTarget() {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
  if (target && target.tagName === "DETAILS") {
    target.scrollIntoView({ block: "start" });
    target.firstElementChild.focus({ preventScroll: true });
  }
}
addEventListener("hashchange", openTarget);
openTarget();
document.addEventListener("click", (event) => {
  const link = event.target.closest && event.target.closest("svg a[href^='#']");
  if (link && link.getAttribute("href") === location.hash) openTarget();
});

// A heading of a table sorts by its column, and again the other way.
function key(row, column) {
  const cell = row.cells[column];
  const by = cell.dataset.by ?? cell.textContent.trim().replace(/^#/, "");
  return by !== "" && !Number.isNaN(Number.parseFloat(by)) ? Number.parseFloat(by) : by;
}
function sort(table, heading, column) {
  const down = heading.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
  const rows = [...table.tBodies[0].rows];
  const compare = (a, b) => (typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1);
  rows.sort((a, b) => compare(key(a, column), key(b, column)) * (down ? -1 : 1));
  table.tBodies[0].append(...rows);
}
for (const table of document.querySelectorAll("table.sorts")) {
  [...table.tHead.rows[0].cells].forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    button.addEventListener("click", () => sort(table, heading, column));
    heading.append(button);
  });
}
