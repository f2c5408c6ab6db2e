// One film over its time, as two models read it; the frame in view has its face and its numbers.
explorer.film = (() => {
  const { html, text, line, rect, svg, path, scale, percent, clock, defined } = explorer.marks;
  const { course, shares, times } = explorer.course;
  const [LEFT, TOP, PLOT, STRIP] = [34, 8, 170, 12];

  function chart(film, run, options, { index, view, width, most }) {
    const end = film.time_s.at(-1) || 1;
    const x = scale([0, end], [LEFT, width - 8]);
    const y = scale([0, most], [TOP + PLOT, TOP]);
    const marks = [];
    for (const value of [0, most / 2, most]) {
      const words = options.measure === "count" ? Math.round(value) : `${Math.round(100 * value)}%`;
      marks.push(line(LEFT, y(value), width - 8, y(value), { class: "grid" }));
      marks.push(text(LEFT - 4, y(value) + 4, words, { "text-anchor": "end" }));
    }
    for (const { time_s } of film.events) {
      marks.push(line(x(time_s), TOP, x(time_s), TOP + PLOT, { class: "event" }));
    }
    const at = times(film, options.width);
    course(film, run, options).forEach((values, label) => {
      if (view.hidden.includes(index.labels[label])) return;
      const points = values.map((value, k) => [x(at[k]), defined(value) ? y(value) : NaN]);
      const drawn = options.measure === "count" ? steps(points) : points;
      marks.push(path(drawn, { stroke: index.colours[index.labels[label]], class: "course" }));
    });
    const sure = (k) => run.top[k] >= options.threshold;
    const strips = [["read", run.predicted, sure]];
    if (film.truth) strips.push(["true", explorer.places(film.truth), () => true]);
    strips.forEach(([name, places, counts], s) => {
      const top = TOP + PLOT + 8 + s * (STRIP + 3);
      marks.push(text(LEFT - 4, top + 10, name, { "text-anchor": "end" }));
      marks.push(...strip(film, places, { x, top, index, counts }));
    });
    const bottom = TOP + PLOT + 8 + strips.length * (STRIP + 3);
    for (const [part, anchor] of [[0, "start"], [0.5, "middle"], [1, "end"]]) {
      marks.push(text(x(part * end), bottom + 11, clock(part * end), { "text-anchor": anchor }));
    }
    marks.push(line(LEFT, TOP, LEFT, bottom, { class: "cursor" }));
    const drawn = svg("svg", { width, height: bottom + 16, "aria-hidden": "true" }, ...marks);
    return { drawn, x };
  }

  const steps = (points) =>
    points.flatMap(([x, y], k) => (k ? [[x, points[k - 1][1]], [x, y]] : [[x, y]]));

  // A cell a frame, coloured as it is read; pale where that does not reach the threshold.
  function strip(film, places, { x, top, index, counts }) {
    const step = film.time_s.length > 1 ? x(film.time_s[1]) - x(film.time_s[0]) : 20;
    return [...places].flatMap((label, k) => {
      if (label < 0) return [];
      const look = { fill: index.colours[index.labels[label]], opacity: counts(k) ? 1 : 0.25 };
      const [left, right] = [-0.5, 0.5].map((half) => x(film.time_s[k]) + half * step);
      const start = Math.max(LEFT, left);
      return [rect(start, top, Math.max(1, right - start - 0.5), STRIP, look)];
    });
  }

  // What the two models say of a frame, beside its face.
  function frameRows(film, runs, k, index) {
    return index.labels.map((label, place) =>
      html(
        "tr",
        { class: explorer.places(film.truth ?? "")[k] === place ? "true" : "" },
        html("th", { scope: "row" }, swatch(index, label), label),
        ...runs.map((run) => {
          const best = run.predicted[k] === place;
          const value = run.probability[place][k];
          const words = defined(value) ? value.toFixed(2) : "n/a";
          return html("td", { class: best ? "best" : "" }, words);
        }),
      ),
    );
  }

  function swatch(index, label) {
    return html("span", { class: "swatch", style: `background:${index.colours[label]}` });
  }

  function face(film, k, folder) {
    const place = film.faces ? film.faces.frame.indexOf(film.frame[k]) : -1;
    if (place < 0) return html("div", { class: "face none" }, film.faces ? "no face" : "not shown");
    const { picture, px, in_row } = film.faces;
    const offset = `-${(place % in_row) * px}px -${Math.floor(place / in_row) * px}px`;
    const style = `width:${px}px;height:${px}px;background:url("${folder}/${picture}") ${offset}`;
    return html("div", { class: "face", style, role: "img", "aria-label": "the face" });
  }

  function describe(film, runs, k, index) {
    const read = runs.map(({ predicted, top }, r) => {
      const label = index.labels[predicted[k]];
      return `${"AB"[r]} ${label ? `${label} ${top[k].toFixed(2)}` : "no face"}`;
    });
    const truth = index.labels[explorer.places(film.truth ?? "")[k]];
    return [clock(film.time_s[k]), ...read, ...(truth ? [`truly ${truth}`] : [])].join(", ");
  }

  // The shares of the film that are left at the threshold, beside what all its frames could show.
  function shareRows(index, view, counted) {
    const bounds = (name, k) => {
      const { low, high } = index.by_film[view[name].run][view.film];
      return `${percent(low[k])} to ${percent(high[k])}`;
    };
    return index.labels.map((label, k) =>
      html(
        "tr",
        {},
        html("th", { scope: "row" }, label),
        ...["a", "b"].flatMap((name, r) => [
          html("td", {}, percent(counted[r].share[k])),
          html("td", {}, bounds(name, k)),
        ]),
      ),
    );
  }

  // Draws the film and gives what moves its cursor to a frame.
  function show(root, index, view, film, { folder, hover, pin }) {
    const part = (name) => root.querySelector(`[data-part="${name}"]`);
    const runs = [view.a.run, view.b.run].map((run) => explorer.unpack(film, run));
    const { measure, threshold } = view;
    const options = { measure, threshold, width: view.width ?? film.smoothing_s };
    const counted = runs.map((run) => shares(run, threshold));
    const drawn = ["film-a", "film-b"].map((name, r) => {
      const most = measure === "count" ? mostCounted(counted) : 1;
      const width = part(name).clientWidth;
      const { drawn, x } = chart(film, runs[r], options, { index, view, width, most });
      part(name).replaceChildren(drawn);
      const nearest = ({ clientX }) =>
        frameAt(film, x, clientX - drawn.getBoundingClientRect().left);
      drawn.addEventListener("pointermove", (event) => hover(nearest(event)));
      drawn.addEventListener("pointerleave", () => hover(null));
      drawn.addEventListener("click", (event) => pin(nearest(event)));
      return { cursor: drawn.querySelector(".cursor"), x };
    });
    part("film-shares").replaceChildren(...shareRows(index, view, counted));
    ["a", "b"].forEach((name, r) => {
      const told = `${name.toUpperCase()}: ${view[name].run}, ${counted[r].n} faces counted`;
      part(`title-${name}`).textContent = told;
    });
    return (k) => {
      for (const { cursor, x } of drawn) {
        cursor.setAttribute("x1", x(film.time_s[k]));
        cursor.setAttribute("x2", x(film.time_s[k]));
      }
      part("frame-face").replaceChildren(face(film, k, folder));
      part("frame-words").textContent = describe(film, runs, k, index);
      part("frame-rows").replaceChildren(...frameRows(film, runs, k, index));
    };
  }

  // The end of an axis of counts: even, so that its middle is a count, too.
  function mostCounted(counted) {
    const counts = counted.flatMap(({ n, share }) => share.map((part) => Math.round(part * n)));
    return 2 * Math.ceil(Math.max(2, ...counts.filter(defined)) / 2);
  }

  function frameAt(film, x, place) {
    const far = film.time_s.map((time) => Math.abs(x(time) - place));
    return far.indexOf(Math.min(...far));
  }

  return { show, swatch };
})();
