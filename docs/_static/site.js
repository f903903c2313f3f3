// What the theme and pandas leave undone for people who use a keyboard or have pages read aloud.
function finish() {
  // A table that scrolls can be reached and scrolled by keyboard.
  for (const table of document.querySelectorAll("main table, main .pst-scrollable-table-container")) {
    if (table.scrollWidth > table.clientWidth) table.tabIndex = 0;
  }
  // The corner of a pandas table heads nothing.
  for (const head of document.querySelectorAll("main th")) {
    if (head.textContent.trim() || head.querySelector("img")) continue;
    const cell = document.createElement("td");
    cell.colSpan = head.colSpan;
    head.replaceWith(cell);
  }
  // The search button says more than the label that is read aloud.
  for (const button of document.querySelectorAll("button.search-button-field[aria-label]")) {
    button.removeAttribute("aria-label");
  }
}
document.addEventListener("DOMContentLoaded", finish);
window.addEventListener("load", finish); // when pictures and fonts have their sizes
window.addEventListener("resize", finish);
