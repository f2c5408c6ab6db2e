// The page of the explorer: each control changes the view, which is shown and put in the address.
(async () => {
  const { defined } = explorer;
  const { html, clock, ...charts } = explorer.charts;
  const root = document.getElementById("film-explorer");
  if (!root) return;
  const folder = root.dataset.bundle;
  const part = (name) => root.querySelector(`[data-part="${name}"]`);
  const controls = (name) => [...root.querySelectorAll(`[name="${name}"]`)];
  const index = await explorer.load(folder, "index");
  let [view, film] = [];

  const percent = (value) => (defined(value) ? `${(100 * value).toFixed(1)}%` : "n/a");
  const points = (value) => {
    if (!defined(value)) return "n/a";
    const size = Math.abs(100 * value).toFixed(1);
    return `${Number(size) === 0 ? "" : value > 0 ? "+" : "−"}${size}`;
  };
  const estimate = (write, { value, low, high }) =>
    defined(low) ? `${write(value)} [${write(low)}, ${write(high)}]` : write(value);
  const row = (head, ...cells) => html("tr", {}, html("th", { scope: "row" }, head), ...cells);
  const cell = (words, look = "") => html("td", { class: look }, words);

  function offer(name, entries) {
    for (const select of controls(name)) {
      select.replaceChildren(...entries.map(([value, words]) => html("option", { value }, words)));
    }
  }

  function prepare() {
    const genres = explorer.genres(index).map((genre) => [genre, genre]);
    for (const side of ["a", "b"]) {
      offer(side, index.runs.map((run) => [run, run]));
      offer(`${side}-genre`, [["", "all films"], ...genres]);
    }
    offer("film", index.films.map(({ id, title }) => [id, title]));
  }

  function choose({ target: { name, value, type } }) {
    if (name === "film") open(value);
    else view[name] = type === "range" ? Number(value) : value;
    show();
  }

  const open = (id) => Object.assign(view, { film: id, width: null });

  // The estimates of a selection in the study's tables, an object { value, low, high } a label.
  const rows = (table, column, sign, keys) => {
    const found = table.find((one) =>
      Object.entries(keys).every(([name, wanted]) => (one[name] ?? "") === wanted),
    );
    const signed = (value) => (defined(value) ? sign * value : null);
    return found?.[column].map((value, k) => {
      const [low, high] = [found.low[k], found.high[k]].map(signed).sort((one, other) => one - other);
      return { value: signed(value), low, high };
    });
  };

  function showShares() {
    const picked = ["a", "b"].map((side) => ({ run_id: view[side], genre: view[`${side}-genre`] }));
    const none = index.labels.map(() => ({ value: null, low: null, high: null }));
    const sides = picked.map((keys) => rows(index.shares, "value", 1, keys) ?? none);
    const pair = ([one, other]) => ({ ...one, other_run_id: other.run_id, other_genre: other.genre });
    const gap =
      rows(index.differences, "difference", 1, pair(picked)) ??
      rows(index.differences, "difference", -1, pair([...picked].reverse())) ??
      none.map((_, k) => ({ value: sides[0][k].value - sides[1][k].value, low: null, high: null }));
    part("share-chart").replaceChildren(
      charts.shares(index, sides, gap, part("share-chart").clientWidth),
    );
    part("share-table").replaceChildren(
      ...index.labels.map((label, k) => {
        const cells = sides.map((side) => cell(estimate(percent, side[k])));
        return row(label, ...cells, cell(estimate(points, gap[k])));
      }),
    );
    const of = (film, { genre }) => !genre || film.genre === genre;
    const listed = index.films.filter((film) => picked.some((keys) => of(film, keys)));
    part("share-films").replaceChildren(
      ...listed.map((film) => {
        const button = html("button", { type: "button" }, film.title);
        button.addEventListener("click", () => {
          open(film.id);
          show();
          root.querySelector(".film").scrollIntoView({ behavior: "smooth" });
          controls("film")[0].focus({ preventScroll: true });
        });
        const { n_faces, n_frames } = index.by_film[view.a][film.id];
        const stacks = picked.map((keys) => cell(of(film, keys) ? stack(keys.run_id, film) : ""));
        return row(button, cell(film.genre ?? ""), cell(`${n_faces} of ${n_frames}`), ...stacks);
      }),
    );
    const level = `In brackets: ${Math.round(100 * index.level)}% bootstrap intervals over films.`;
    const without =
      "The study has no interval of this difference: it compares two models on the same films, " +
      "and one model on the films of two genres, where each genre has several.";
    part("share-note").textContent = gap.some(({ low }) => defined(low)) ? level : without;
  }

  // A film's shares as a stack; in words for those who cannot see it.
  function stack(run, film) {
    const { share, n_faces } = index.by_film[run][film.id];
    if (!n_faces) return html("span", {}, "no face");
    const words = index.labels.map((label, k) => `${label} ${percent(share[k])}`).join(", ");
    const parts = index.labels.map((label, k) =>
      html("span", { style: `flex-grow:${share[k]};background:${index.colours[label]}` }),
    );
    return html("span", { class: "stack", role: "img", "aria-label": words, title: words }, ...parts);
  }

  function showFilm() {
    const runs = [view.a, view.b].map((run) => explorer.unpack(film, run));
    const { measure, threshold } = view;
    const options = { measure, threshold, width: view.width ?? film.smoothing_s };
    const counted = runs.map((run) => explorer.shares(run, threshold));
    const highest = counted.flatMap(({ n, share }) => share.map((one) => one * n)).filter(defined);
    const even = 2 * Math.ceil(Math.max(2, ...highest) / 2); // so that its middle is a count, too
    const most = measure === "count" ? Math.round(even) : 1;
    ["a", "b"].forEach((side, k) => {
      const place = part(`film-${side}`);
      const frame = { index, most, width: place.clientWidth };
      place.replaceChildren(charts.film(film, runs[k], options, frame));
      const title = `${side.toUpperCase()}: ${view[side]}, ${counted[k].n} faces counted`;
      part(`title-${side}`).textContent = title;
    });
    part("film-shares").replaceChildren(
      ...index.labels.map((label, k) => {
        const cells = [view.a, view.b].flatMap((run, r) => {
          const { low, high } = index.by_film[run][view.film];
          return [percent(counted[r].share[k]), `${percent(low[k])} to ${percent(high[k])}`];
        });
        const swatch = html("span", { class: "swatch", style: `background:${index.colours[label]}` });
        return row(html("span", {}, swatch, label), ...cells.map((words) => cell(words)));
      }),
    );
  }

  async function show() {
    for (const name of ["a", "a-genre", "b", "b-genre", "film", "measure", "threshold"]) {
      for (const control of controls(name)) control.value = view[name];
    }
    part("threshold").textContent = view.threshold.toFixed(2);
    remember();
    showShares();
    const asked = index.films.find(({ id }) => id === view.film);
    film = await explorer.load(folder, asked.file);
    if (asked.id !== view.film) return; // another was chosen meanwhile
    const width = view.width ?? film.smoothing_s;
    Object.assign(controls("width")[0], { value: width, disabled: view.measure === "count" });
    part("width").textContent = width ? `${width} s` : "none";
    const happens = ({ time_s, event, label }) => `${clock(time_s)} ${event} (${label})`;
    part("events").textContent = film.events.map(happens).join(", ");
    showFilm();
  }

  function remember() {
    const words = explorer.write(view, index);
    if (words !== location.hash.slice(1)) history.replaceState(null, "", `#${words}`);
  }

  function fromAddress() {
    const found = explorer.read(location.hash.slice(1), index);
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
