// What models read in films, for two selections and for one film over its time.
window.explorer = (() => {
  const [GRID, REACH, MAX_TIMES] = [1000, 3, 200]; // parts of a probability; kernel widths
  const [waiting, loaded] = [new Map(), new Map()];

  // A page that was opened from disk may not read files, but may run them: each file is a call of
  // `explorer.receive` with its name and its content.
  const receive = (_, content) => waiting.get(document.currentScript.src)(content);

  function load(folder, name) {
    const script = document.createElement("script");
    script.src = `${folder}/${name}.js`;
    if (!loaded.has(script.src)) {
      loaded.set(script.src, new Promise((resolve) => waiting.set(script.src, resolve)));
      document.head.append(script);
    }
    return loaded.get(script.src);
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

  // By label, at each time: the mean probability or the share of faces under a Gaussian kernel
  // (NaN where there is none), or the faces counted so far. A test holds it to `exe_core.films`.
  function course(film, run, { measure, width }) {
    const at = times(film, width);
    return run.probability.map((probability, label) => {
      const value = (k) =>
        measure === "probability" ? probability[k] / GRID : Number(run.predicted[k] === label);
      return at.map((time) => {
        let [sum, total] = [0, 0];
        for (const k of run.sure) {
          const far = (film.time_s[k] - time) / (width || 1e-6);
          const near = Math.abs(far) <= REACH ? Math.exp(-0.5 * far ** 2) : 0;
          const weight = measure === "count" ? Number(far <= 0) : near;
          sum += weight * value(k);
          total += weight;
        }
        return measure === "count" ? sum : sum / total;
      });
    });
  }

  return { receive, load, unpack, shares, times, course };
})();

// A form on the page: the address after "#" holds what the controls hold that were last used.
async function explore(form) {
  const [control, shown] = [form.elements, {}]; // shown: section -> rows of its chart
  const index = await explorer.load(form.dataset.bundle, "index");
  const part = (name) => form.querySelector(`[data-part="${name}"]`);
  const defined = Number.isFinite; // null is not
  const percent = (value) => (defined(value) ? `${(100 * value).toFixed(1)}%` : "n/a");
  const points = (value) =>
    defined(value) ? (100 * value).toFixed(1).replace("-", "−").replace(/^(?=[\d])/, "+") : "n/a";
  const colour = { field: "label", scale: { domain: index.labels, range: index.colours }, title: null };
  const listed = [...new Set(index.shares.map(({ label }) => label))]; // emotions, then measures
  let turns = 0;

  function draw(name, spec) {
    const config = { ...chartStyle, legend: { ...chartStyle.legend, orient: "bottom", columns: 4 } };
    const autosize = { type: "fit-x", contains: "padding" };
    const whole = { width: "container", autosize, config, ...spec };
    return vegaEmbed(part(name), whole, { renderer: "svg", actions: false });
  }

  function tabulate(name, rows, tag = "td") {
    const row = ([head, ...cells]) =>
      `<tr><th>${head}</th>${cells.map((cell) => `<${tag}>${cell}</${tag}>`).join("")}</tr>`;
    part(name).innerHTML = rows.map(row).join("");
  }

  // By label the estimate of the study's tables; of a difference that it has the other way round,
  // the negative.
  function estimates(table, keys, column, sign = 1) {
    const matches = (row) => Object.entries(keys).every(([name, is]) => (row[name] ?? "") === is);
    const own = table.filter(matches);
    return listed.map((label) => {
      const row = own.find((one) => one.label === label);
      if (!row) return { label, value: null, low: null, high: null };
      const turned = (value) => (defined(value) ? sign * value : null);
      const [low, high] = [row.low, row.high].map(turned).sort((one, other) => one - other);
      return { label, value: turned(row[column]), low, high };
    });
  }

  function difference(one, other) {
    const pair = (a, b) => ({ ...a, other_run_id: b.run_id, other_genre: b.genre });
    const gap = estimates(index.differences, pair(one, other), "difference");
    if (gap.some(({ value }) => defined(value))) return gap;
    return estimates(index.differences, pair(other, one), "difference", -1);
  }

  // Two selections; where there are labels, theirs of the same films, with which both are compared.
  function showShares() {
    if (index.reference) control["b-genre"].value = control["a-genre"].value;
    const [a, b] = ["a", "b"].map((side) => ({
      run_id: control[side].value,
      genre: control[`${side}-genre`].value,
    }));
    const labels = index.reference && { run_id: index.reference, genre: a.genre };
    const sides = Object.entries({ ...(labels && { labels }), A: a, B: b });
    const pairs = labels ? { "A − labels": [a, labels], "B − labels": [b, labels] } : { "A − B": [a, b] };
    const columns = sides.map(([, keys]) => estimates(index.shares, keys, "value"));
    const gaps = Object.values(pairs).map((pair) => difference(...pair));
    const written = (write, { value, low, high }) =>
      defined(low) ? `${write(value)} [${write(low)}, ${write(high)}]` : write(value);
    tabulate("share-head", [["", ...sides.map(([side]) => side), ...Object.keys(pairs)]], "th");
    tabulate(
      "share-table",
      listed.map((label, k) => [
        label,
        ...columns.map((of) => written(percent, of[k])),
        ...gaps.map((of) => written(points, of[k])),
      ]),
    );
    shown.shares = sides.flatMap(([side, { run_id, genre }], k) =>
      columns[k].map((row) => ({ side, model: run_id, films: genre || "all films", ...row })),
    );
    const values = shown.shares.filter(({ label }) => index.labels.includes(label));
    const x = { field: "value", type: "quantitative", axis: { format: "%", tickCount: 5 } };
    x.title = `share of faces: A, and B paler${labels ? "; labels gray" : ""}`;
    const y = { field: "label", type: "nominal", sort: index.labels, title: null };
    const muted = { test: "datum.side === 'labels'", value: chartStyle.axis.titleColor };
    const color = { ...colour, legend: null, condition: muted };
    const opacity = { condition: { test: "datum.side === 'B'", value: 0.5 }, value: 1 };
    const tooltip = ["side", "model", "films", "label"].map((field) => ({ field, type: "nominal" }));
    tooltip.push(...["value", "low", "high"].map((field) => ({ field, format: ".1%" })));
    const ends = { x: { ...x, field: "low" }, x2: { field: "high" } };
    const whole = { x: { datum: Math.max(...values.map(({ value, high }) => high ?? value)) } };
    draw("shares", {
      data: { values },
      height: { step: 12 },
      encoding: { y, yOffset: { field: "side", sort: sides.map(([side]) => side) }, tooltip },
      layer: [
        { mark: "bar", encoding: { x, opacity, color } },
        { mark: { type: "rule", color: chartStyle.text.color }, encoding: ends },
        { mark: { type: "bar", opacity: 0 }, encoding: whole },
      ],
    });
  }

  function showFilm(film) {
    const [threshold, width] = [+control.threshold.value, +control.width.value];
    const measure = control.measure.value;
    control.width.disabled = measure === "count";
    part("threshold").textContent = threshold.toFixed(2);
    part("width").textContent = `${width} s`;
    const runs = ["a", "b"].map((side) => explorer.unpack(film, control[side].value, threshold));
    const minutes = explorer.times(film, width).map((time_s) => time_s / 60);
    const rows = runs.map((run) =>
      explorer.course(film, run, { measure, width }).flatMap((values, k) =>
        values.map((value, t) => ({ minute: minutes[t], value, label: index.labels[k] })),
      ),
    );
    shown.film = rows.flatMap((of, k) =>
      of.map((row) => ({ side: "AB"[k], model: control["ab"[k]].value, film: control.film.value, ...row })),
    );
    const highest = Math.max(1, ...rows.flat().map(({ value }) => value || 0));
    const y = { field: "value", type: "quantitative", title: null };
    y.scale = { domain: [0, measure === "count" ? highest : 1] };
    y.axis = { format: measure === "count" ? "d" : "%" };
    const x = { field: "minute", type: "quantitative", title: "time (min)" };
    const rule = { type: "rule", strokeDash: [3, 3], color: chartStyle.axis.titleColor };
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
    const clock = (time_s) => new Date(1000 * time_s).toISOString().slice(11, 19);
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

  async function show(event, addressed = true) {
    const turn = ++turns;
    const file = index.films.find(({ film_id }) => film_id === control.film.value)?.file;
    const film = file && (await explorer.load(form.dataset.bundle, file));
    if (turn !== turns) return; // something else was chosen meanwhile
    showShares();
    if (film) {
      if (event.target === control.film) control.width.value = film.smoothing_s;
      showFilm(film);
    }
    const chosen = new URLSearchParams([...new FormData(form)]);
    if (addressed) history.replaceState(null, "", `#${chosen}`);
    form.dataset.live = "true";
  }

  // What the address names and this study does not have is passed over.
  function follow() {
    const asked = new URLSearchParams(location.hash.slice(1));
    const meant = asked.get("of") ?? document.querySelector("[name=of]").value; // or the first form
    const addressed = location.hash.includes("=") && meant === control.of.value;
    if (form.dataset.live && !addressed) return;
    for (const [name, value] of addressed ? asked : []) {
      const options = [...(control[name]?.options ?? [{ value }])];
      if (control[name] && options.some((one) => one.value === value)) control[name].value = value;
    }
    if (addressed) form.scrollIntoView();
    show(asked.has("width") ? {} : { target: control.film }, addressed);
  }

  // Writes the rows of a chart as CSV.
  function download({ target }) {
    const name = target.dataset.rows;
    const columns = Object.keys(shown[name][0]);
    const rows = shown[name].map((row) => columns.map((column) => row[column]));
    const quoted = (value) => (typeof value === "string" ? `"${value.replaceAll('"', '""')}"` : value);
    const text = [columns, ...rows].map((row) => `${row.map(quoted).join(",")}\n`).join("");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = `${control.of.value}-${name}.csv`;
    link.click();
  }

  function offer(name, entries) {
    control[name].append(...entries.map(([value, words]) => new Option(words, value)));
  }

  const genres = [...new Set(index.shares.map(({ genre }) => genre).filter(Boolean))].sort();
  for (const side of ["a", "b"]) {
    offer(side, index.runs.map((run) => [run, run]));
    offer(`${side}-genre`, [["", "all films"], ...genres.map((genre) => [genre, genre])]);
  }
  control.b.value = index.runs[1] ?? index.runs[0];
  control["b-genre"].parentElement.hidden = Boolean(index.reference);
  if (index.films.length) offer("film", index.films.map(({ film_id, title }) => [film_id, title]));
  else form.querySelector("section + section").remove();
  for (const button of form.querySelectorAll("button")) button.addEventListener("click", download);
  form.addEventListener("input", (event) => show(event));
  window.addEventListener("hashchange", follow);
  follow();
}

document.querySelectorAll("form[data-bundle]").forEach(explore);
