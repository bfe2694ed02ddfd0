
"use strict";
// A slider sets a CSS variable of what it stands in.
for (const slider of document.querySelectorAll("input[data-variable]")) {
  const target = slider.closest("[style]");
  slider.addEventListener("input", () => target.style.setProperty(slider.dataset.variable, slider.value));
}
(() => {
  const holder = document.getElementById("photos-of-cells");
  if (!holder) return;
  const data = JSON.parse(holder.textContent);
  const panel = document.getElementById("cell");
  const buttons = [...document.querySelectorAll("[data-cell]")];

  const element = (tag, className, text) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };

  const figure = (photo, probability) => {
    const made = element("figure", "photo");
    if (photo.picture) {
      const image = element("img");
      image.src = photo.picture;
      image.alt = "";
      made.append(image);
    } else {
      made.append(element("span", "missing", "not readable here"));
    }
    const caption = element("figcaption");
    caption.append(element("b", "", probability));
    const name = element("span", "name", photo.name);
    name.title = photo.name;
    caption.append(name);
    made.append(caption);
    return made;
  };

  // In a list of pairs the photos open under their row.
  const opened = element("tr", "opened");
  const openUnder = (row) => {
    if (!opened.firstChild) {
      const cell = element("td");
      cell.colSpan = row.cells.length;
      cell.append(panel);
      opened.append(cell);
    }
    row.after(opened);
  };

  const isGrid = document.querySelector("table.confusion") !== null;
  const isCalm = matchMedia("(prefers-reduced-motion: reduce)");
  const show = (button) => {
    const isOpen = !isGrid && button.getAttribute("aria-pressed") === "true";
    for (const each of buttons) each.setAttribute("aria-pressed", String(each === button && !isOpen));
    if (isOpen) {
      opened.remove();
      return;
    }
    if (!isGrid) openUnder(button.closest("tr"));
    const cell = data.cells[button.dataset.cell];
    const photos = element("div", "photos");
    photos.append(...cell.photos.map((at, place) => figure(data.photos[at], cell.probabilities[place])));
    panel.replaceChildren(element("h3", "", button.getAttribute("aria-label")), photos);
    const left = cell.count - cell.photos.length;
    const said = cell.photos.length ? `The most confident ${cell.photos.length} of ${cell.count}.` : "Too many photos for one page.";
    if (left > 0) panel.append(element("p", "muted", said));
    panel.scrollIntoView({ block: "nearest", behavior: isCalm.matches ? "auto" : "smooth" });
  };

  // The grid is one tab stop; arrow keys move to the next cell with photos in that direction.
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  const place = (button) => button.dataset.cell.split(",").map(Number);
  const next = (button, [down, right]) => {
    const [row, column] = place(button);
    const ahead = (each) => {
      const [otherRow, otherColumn] = place(each);
      const along = down ? (otherRow - row) * down : (otherColumn - column) * right;
      const aside = Math.abs(down ? otherColumn - column : otherRow - row);
      return along > 0 ? aside * 1000 + along : Infinity;
    };
    const best = buttons.reduce((one, other) => (ahead(other) < ahead(one) ? other : one));
    return ahead(best) < Infinity ? best : null;
  };
  buttons.forEach((button, at) => {
    if (isGrid) button.tabIndex = at ? -1 : 0;
    button.addEventListener("click", () => show(button));
    button.addEventListener("keydown", (event) => {
      const target = isGrid && step[event.key] ? next(button, step[event.key]) : null;
      if (!target) return;
      event.preventDefault();
      for (const each of buttons) each.tabIndex = each === target ? 0 : -1;
      target.focus();
    });
  });
})();
