// What models read in films, for two selections and for one film over its time.
window.explorer = (() => {
  const [GRID, REACH, MAX_TIMES] = [1000, 3, 200]; // parts of a probability; kernel widths
  const [waiting, loaded] = [new Map(), new Map()];

  // A page that was opened from disk may not read files, but may run them: each file is a call of
  // `explorer.receive` with its name and its content.
  const receive = (name, content) => waiting.get(name)(content);

  function load(folder, name) {
    if (!loaded.has(name)) {
      const content = new Promise((resolve) => waiting.set(name, resolve));
      loaded.set(name, content);
      const script = document.createElement("script");
      script.src = `${folder}/${name}.js`;
      document.head.append(script);
    }
    return loaded.get(name);
  }

  // For each frame the place of the predicted label (-1: no face), by label its probability, and
  // the frames whose face is predicted with at least this confidence.
  function unpack(film, name, threshold) {
    const { predicted, probability } = film.runs[name];
    const top = predicted.map((_, k) => Math.max(...probability.map((of) => of[k])));
    const sure = [...predicted.keys()].filter((k) => top[k] >= Math.round(threshold * GRID));
    return { predicted, probability, sure };
  }

  function shares({ predicted, probability, sure }) {
    const count = (label) => sure.filter((k) => predicted[k] === label).length;
    return probability.map((_, label) => count(label) / sure.length);
  }

  // The sampled times or, of a long film that is smoothed, as many as a chart can show.
  function times(film, width) {
    const all = film.time_s;
    if (all.length <= MAX_TIMES || width === 0) return all;
    const step = (all.at(-1) - all[0]) / (MAX_TIMES - 1);
    return Array.from({ length: MAX_TIMES }, (_, k) => all[0] + k * step);
  }

  function kernel(distance, width) {
    if (width === 0) return distance === 0 ? 1 : 0;
    const far = Math.abs(distance) / width;
    return far <= REACH ? Math.exp(-0.5 * far ** 2) : 0;
  }

  // By label, at each time: the mean probability or the share of faces under a Gaussian kernel
  // (NaN where there is none), or the faces counted so far. A test holds it to `exe_core.films`.
  function course(film, run, { measure, width }) {
    const at = times(film, width);
    return run.probability.map((probability, label) => {
      if (measure === "count") {
        const seen = run.sure.filter((k) => run.predicted[k] === label);
        return at.map((time) => seen.filter((k) => film.time_s[k] <= time).length);
      }
      const value = (k) =>
        measure === "share" ? Number(run.predicted[k] === label) : probability[k] / GRID;
      return at.map((time) => {
        let [sum, total] = [0, 0];
        for (const k of run.sure) {
          const weight = kernel(film.time_s[k] - time, width);
          sum += weight * value(k);
          total += weight;
        }
        return sum / total;
      });
    });
  }

  return { receive, load, unpack, shares, times, course };
})();

// The page: the address after "#" holds what the controls hold.
(async () => {
  const form = document.getElementById("film-explorer");
  const control = form.elements;
  const index = await explorer.load(form.dataset.bundle, "index");
  const part = (name) => form.querySelector(`[data-part="${name}"]`);
  const defined = (value) => value !== null && !Number.isNaN(value);
  const percent = (value) => (defined(value) ? `${(100 * value).toFixed(1)}%` : "n/a");
  const points = (value) =>
    defined(value) ? (100 * value).toFixed(1).replace("-", "−").replace(/^(?=[\d])/, "+") : "n/a";
  const clock = (time_s) => {
    const [minutes, seconds] = [Math.floor(Math.round(time_s) / 60), Math.round(time_s) % 60];
    return `${minutes}:${String(seconds).padStart(2, "0")}`;
  };
  const colour = { field: "label", scale: { domain: index.labels, range: index.colours } };
  let turns = 0;

  function draw(name, spec) {
    const config = { ...chartStyle, legend: { ...chartStyle.legend, orient: "bottom", columns: 4 } };
    const autosize = { type: "fit-x", contains: "padding" };
    const whole = { width: "container", autosize, config, ...spec };
    return vegaEmbed(part(name), whole, { renderer: "svg", actions: false });
  }

  function tabulate(name, rows) {
    const row = ([head, ...cells]) =>
      `<tr><th scope="row">${head}</th>${cells.map((cell) => `<td>${cell}</td>`).join("")}</tr>`;
    part(name).innerHTML = rows.map(row).join("");
  }

  // By label the estimate of the study's tables; of a difference that it has the other way round,
  // the negative.
  function estimates(table, keys, column, sign = 1) {
    const matches = (row) => Object.entries(keys).every(([name, is]) => (row[name] ?? "") === is);
    const own = table.filter(matches);
    return index.labels.map((label) => {
      const row = own.find((one) => one.label === label);
      if (!row) return { label, value: null, low: null, high: null };
      const signed = (value) => (defined(value) ? sign * value : null);
      const [low, high] = [row.low, row.high].map(signed).sort((one, other) => one - other);
      return { label, value: signed(row[column]), low, high };
    });
  }

  function compare() {
    const [a, b] = ["a", "b"].map((side) => ({
      run_id: control[side].value,
      genre: control[`${side}-genre`].value,
    }));
    const sides = [a, b].map((keys) => estimates(index.shares, keys, "value"));
    const pair = (one, other) => ({ ...one, other_run_id: other.run_id, other_genre: other.genre });
    let gap = estimates(index.differences, pair(a, b), "difference");
    if (!gap.some(({ value }) => defined(value))) {
      gap = estimates(index.differences, pair(b, a), "difference", -1);
    }
    const compared = gap.some(({ value }) => defined(value));
    part("share-note").textContent = compared
      ? `In brackets: ${Math.round(100 * index.level)}% bootstrap intervals over films.`
      : "Only two models on the same films, or one model on two genres, have an interval.";
    return { sides, gap };
  }

  function showShares() {
    const { sides, gap } = compare();
    const written = (write, { value, low, high }) =>
      defined(low) ? `${write(value)} [${write(low)}, ${write(high)}]` : write(value);
    tabulate(
      "share-table",
      index.labels.map((label, k) => [
        label,
        ...sides.map((side) => written(percent, side[k])),
        written(points, gap[k]),
      ]),
    );
    const both = sides.flatMap((side, k) => side.map((row) => ({ ...row, side: "AB"[k] })));
    const x = { field: "value", type: "quantitative", title: "share of faces: A, and B paler" };
    x.axis = { format: "%", tickCount: 5 };
    const y = { field: "label", type: "nominal", sort: index.labels, title: null };
    const opacity = { field: "side", scale: { range: [1, 0.5] }, legend: null };
    const color = { ...colour, legend: null };
    const ends = { x: { ...x, field: "low" }, x2: { field: "high" } };
    draw("shares", {
      data: { values: both },
      height: { step: 12 },
      encoding: { y, yOffset: { field: "side" } },
      layer: [
        { mark: { type: "bar", tooltip: true }, encoding: { x, opacity, color } },
        { mark: { type: "rule", color: "var(--chart-ink, #1f2328)" }, encoding: ends },
      ],
    });
  }

  function showFilm(film) {
    const [threshold, width] = [+control.threshold.value, +control.width.value];
    const measure = control.measure.value;
    const runs = ["a", "b"].map((side) => explorer.unpack(film, control[side].value, threshold));
    const minutes = explorer.times(film, width).map((time_s) => time_s / 60);
    const rows = runs.map((run) =>
      explorer.course(film, run, { measure, width }).flatMap((values, k) =>
        values.map((value, t) => ({ minute: minutes[t], value, label: index.labels[k] })),
      ),
    );
    const highest = Math.max(1, ...rows.flat().map(({ value }) => value || 0));
    const y = {
      field: "value",
      type: "quantitative",
      title: null,
      scale: { domain: [0, measure === "count" ? highest : 1] },
      axis: { format: measure === "count" ? "d" : "%" },
    };
    const x = { field: "minute", type: "quantitative", title: "time (min)" };
    const rule = { type: "rule", strokeDash: [3, 3], color: "var(--chart-muted, #57606a)" };
    const happens = film.events.map(({ time_s }) => ({ minute: time_s / 60 }));
    ["a", "b"].forEach((side, k) =>
      draw(`film-${side}`, {
        title: `${"AB"[k]}: ${control[side].value}, ${runs[k].sure.length} faces counted`,
        height: 180,
        encoding: { x },
        layer: [
          { data: { values: happens }, mark: rule },
          { data: { values: rows[k] }, mark: "line", encoding: { y, color: colour } },
        ],
      }),
    );
    const told = ({ time_s, event, label }) => `${clock(time_s)} ${event} (${label})`;
    part("events").textContent = film.events.map(told).join(", ");
    tabulate(
      "film-table",
      index.labels.map((label, k) => [
        label,
        ...["a", "b"].flatMap((side, r) => {
          const own = (row) => row.run_id === control[side].value && row.label === label;
          const { share_low, share_high } = film.bounds.find(own);
          const bounds = `${percent(share_low)} to ${percent(share_high)}`;
          return [percent(explorer.shares(runs[r])[k]), bounds];
        }),
      ]),
    );
  }

  async function show({ target } = {}) {
    const turn = ++turns;
    const { file } = index.films.find(({ film_id }) => film_id === control.film.value);
    const film = await explorer.load(form.dataset.bundle, file);
    if (turn !== turns) return; // something else was chosen meanwhile
    if (target === control.film) control.width.value = film.smoothing_s;
    control.width.disabled = control.measure.value === "count";
    part("threshold").textContent = (+control.threshold.value).toFixed(2);
    part("width").textContent = `${control.width.value} s`;
    showShares();
    showFilm(film);
    const chosen = [...new FormData(form)];
    history.replaceState(null, "", `#${new URLSearchParams(chosen)}`);
    form.dataset.live = "true";
  }

  // What the address names and this study does not have is passed over.
  function follow() {
    const asked = new URLSearchParams(location.hash.slice(1));
    for (const [name, value] of asked) {
      const options = [...(control[name]?.options ?? [{ value }])];
      if (control[name] && options.some((one) => one.value === value)) control[name].value = value;
    }
    show(asked.has("width") ? {} : { target: control.film });
  }

  function offer(name, entries) {
    control[name].append(...entries.map(([value, words]) => new Option(words, value)));
  }

  const genres = [...new Set(index.films.map(({ genre }) => genre).filter(Boolean))].sort();
  for (const side of ["a", "b"]) {
    offer(side, index.runs.map((run) => [run, run]));
    offer(`${side}-genre`, [["", "all films"], ...genres.map((genre) => [genre, genre])]);
  }
  control.b.value = index.runs[1] ?? index.runs[0];
  offer("film", index.films.map(({ film_id, title }) => [film_id, title]));
  form.addEventListener("input", show);
  window.addEventListener("hashchange", follow);
  follow();
})();
