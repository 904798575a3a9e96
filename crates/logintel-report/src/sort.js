"use strict";
// A click on a column's head sorts its table by it; another click turns the order.
for (const button of document.querySelectorAll("table.sortable th button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th");
    const body = head.closest("table").tBodies[0];
    const column = head.cellIndex;
    const first = head.dataset.first || "ascending";
    const other = first === "ascending" ? "descending" : "ascending";
    const order = head.getAttribute("aria-sort") === first ? other : first;
    const key = (row) => {
      const cell = row.cells[column];
      return cell.dataset.v === undefined ? cell.textContent.trim() : Number(cell.dataset.v);
    };
    const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en"));
    const rows = Array.from(body.rows, (row) => [key(row), row]);
    rows.sort(([a], [b]) => (order === "ascending" ? compare(a, b) : compare(b, a)));
    for (const th of head.parentNode.cells) {
      th.removeAttribute("aria-sort");
    }
    head.setAttribute("aria-sort", order);
    body.append(...rows.map(([, row]) => row));
  });
}
