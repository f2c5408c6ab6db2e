// The controls: each changes the view, which is then shown and written into the address.
(async () => {
  const { html, clock } = explorer.marks;
  const root = document.getElementById("film-explorer");
  if (!root) return;
  const folder = root.dataset.bundle;
  const part = (name) => root.querySelector(`[data-part="${name}"]`);
  const control = (name) => root.querySelector(`[name="${name}"]`);
  const both = (side) => root.querySelectorAll(`[name="${side}-run"]`); // above and at the film
  const index = await explorer.load(folder, "index");
  let view;
  let film;
  let moveTo;

  function offer(select, entries) {
    select.replaceChildren(...entries.map(([value, words]) => html("option", { value }, words)));
  }

  function checkbox(name, value, words) {
    const box = html("input", { type: "checkbox", name, value });
    return html("label", {}, box, words);
  }

  function prepare() {
    const genres = [...new Set(index.films.map((one) => one.genre).filter(Boolean))].sort();
    for (const side of ["a", "b"]) {
      for (const select of both(side)) offer(select, index.runs.map((run) => [run, run]));
      const named = genres.map((genre) => [genre, genre]);
      offer(control(`${side}-genre`), [["", "all films"], ...named]);
      part(`${side}-films`).replaceChildren(
        ...index.films.map((one) => checkbox(`${side}-film`, one.id, one.title)),
      );
    }
    offer(control("film"), index.films.map((one) => [one.id, one.title]));
    part("labels").append(
      ...index.labels.map((label) => {
        const entry = checkbox("label", label, label);
        entry.insertBefore(explorer.film.swatch(index, label), entry.lastChild);
        return entry;
      }),
    );
  }

  function choose(event) {
    const { name, value, checked } = event.target;
    const [side, what] = name.split("-");
    if (what === "run") view[side].run = value;
    else if (what === "genre") Object.assign(view[side], { genre: value, films: null });
    else if (what === "film") view[side].films = picked(name);
    else if (name === "label") view.hidden = index.labels.filter((label) => !boxOf(label).checked);
    else if (name === "film") Object.assign(view, { film: value, frame: null, width: null });
    else if (name === "frame") view.frame = film.frame[value];
    else if (name === "measure") view.measure = value;
    else view[name] = Number(value);
    show();
  }

  const boxOf = (label) => root.querySelector(`[name="label"][value="${label}"]`);

  function picked(name) {
    const boxes = [...root.querySelectorAll(`[name="${name}"]:checked`)];
    return boxes.map((box) => box.value);
  }

  function open(id) {
    Object.assign(view, { film: id, frame: null, width: null });
    show();
    root.querySelector(".film").scrollIntoView({ behavior: "smooth" });
    control("film").focus({ preventScroll: true });
  }

  function showControls() {
    for (const side of ["a", "b"]) {
      const films = explorer.view.filmsOf(view[side], index);
      for (const select of both(side)) select.value = view[side].run;
      control(`${side}-genre`).value = view[side].genre;
      root.querySelectorAll(`[name="${side}-film"]`).forEach((box) => {
        box.checked = films.some((one) => one.id === box.value);
      });
      part(`${side}-count`).textContent = `${films.length} of ${index.films.length} films`;
    }
    for (const name of ["film", "measure", "threshold"]) control(name).value = view[name];
    index.labels.forEach((label) => (boxOf(label).checked = !view.hidden.includes(label)));
    part("threshold").textContent = view.threshold.toFixed(2);
  }

  async function show() {
    showControls();
    remember();
    explorer.shares.show(root, index, view, open);
    const asked = index.films.find((one) => one.id === view.film);
    film = await explorer.load(folder, asked.file);
    if (asked.id !== view.film) return; // another was chosen meanwhile
    const width = view.width ?? film.smoothing_s;
    control("width").value = width;
    control("width").disabled = view.measure === "count";
    part("width").textContent = width ? `${width} s` : "none";
    control("frame").max = film.frame.length - 1;
    part("events").replaceChildren(...film.events.map(eventButton));
    moveTo = explorer.film.show(root, index, view, film, { folder, hover: lookAt, pin });
    lookAt(null);
  }

  function eventButton({ time_s, event, label }) {
    const button = html("button", { type: "button" }, `${clock(time_s)} ${event} (${label})`);
    const after = film.time_s.findIndex((time) => time >= time_s);
    button.addEventListener("click", () => pin(after < 0 ? film.frame.length - 1 : after));
    return button;
  }

  // Where nothing is pointed at, the frame that was chosen last is in view; else the first.
  function lookAt(k) {
    const chosen = Math.max(0, film.frame.indexOf(view.frame));
    moveTo(k ?? chosen);
    control("frame").value = k ?? chosen;
    control("frame").setAttribute("aria-valuetext", part("frame-words").textContent);
  }

  function pin(k) {
    view.frame = film.frame[k];
    remember();
    lookAt(null);
  }

  function remember() {
    const words = explorer.view.write(view, index);
    if (words !== location.hash.slice(1)) history.replaceState(null, "", `#${words}`);
  }

  function fromAddress() {
    const found = explorer.view.read(location.hash.slice(1), index);
    view = found.view;
    const words = `This study has no ${found.unknown.join(", ")}: the link is followed without.`;
    part("status").textContent = found.unknown.length ? words : "";
    show();
  }

  prepare();
  root.addEventListener("input", choose);
  window.addEventListener("hashchange", fromAddress);
  let wide = root.clientWidth;
  new ResizeObserver(() => {
    if (root.clientWidth !== wide) show();
    wide = root.clientWidth;
  }).observe(root);
  fromAddress();
  root.dataset.live = "true";
})();
