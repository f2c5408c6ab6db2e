// The shares of two selections, their difference, and the films of both. Estimates are those of the
// study's tables; only a choice of single films, which has no row there, is averaged here.
explorer.shares = (() => {
  const { html, text, line, rect, svg, scale, percent, points, interval, defined } = explorer.marks;
  const ROW = 34;
  const LEFT = 66;

  function estimate(index, side) {
    const films = explorer.view.filmsOf(side, index);
    const held = index.shares.find((row) => row.run_id === side.run && (row.genre ?? "") === side.genre);
    if (held && !side.films) return { ...held, films };
    const shares = films.map((film) => index.by_film[side.run][film.id].share).filter((s) => defined(s[0]));
    const mean = (k) => shares.reduce((sum, share) => sum + share[k], 0) / shares.length;
    return { value: index.labels.map((_, k) => mean(k)), n_films: shares.length, films };
  }

  // The difference with its interval, where the study has compared the two; else that of the shares.
  function difference(index, a, b, sides) {
    const is = (row, first, second) =>
      row.run_id === first.run &&
      row.other_run_id === second.run &&
      (row.genre ?? "") === first.genre &&
      (row.other_genre ?? "") === second.genre;
    if (!a.films && !b.films) {
      const held = index.differences.find((row) => is(row, a, b));
      if (held) return { value: held.difference, low: held.low, high: held.high };
      const turned = index.differences.find((row) => is(row, b, a));
      const minus = (values) => values.map((value) => (defined(value) ? -value : null));
      if (turned) {
        return { value: minus(turned.difference), low: minus(turned.high), high: minus(turned.low) };
      }
    }
    return { value: sides[0].value.map((value, k) => value - sides[1].value[k]) };
  }

  const at = (estimate, k) => ({
    value: estimate.value[k],
    low: estimate.low?.[k] ?? null,
    high: estimate.high?.[k] ?? null,
  });

  function chart(index, sides, gap, width) {
    const middle = LEFT + (width - LEFT) * 0.56;
    const height = ROW * index.labels.length;
    const most = Math.max(0.2, ...sides.flatMap((side) => [...side.value, ...(side.high ?? [])].filter(defined)));
    const far = Math.max(0.1, ...[gap.value, gap.low, gap.high].flat().filter(defined).map(Math.abs));
    const share = scale([0, most], [LEFT, middle - 22]);
    const apart = scale([-far, far], [middle + 14, width - 22]);
    const marks = [line(apart(0), 14, apart(0), height + 18, { class: "zero" })];
    marks.push(text(LEFT, 10, "share of faces"), text(apart(0), 10, "A − B, points", { "text-anchor": "middle" }));
    index.labels.forEach((label, k) => {
      const top = 18 + k * ROW;
      marks.push(text(0, top + 17, label));
      sides.forEach((side, s) => {
        const { value, low, high } = at(side, k);
        const y = top + 2 + s * 13;
        if (!defined(value)) return;
        const look = { fill: index.colours[label], class: s ? "bar second" : "bar" };
        marks.push(rect(LEFT, y, share(value) - LEFT, 11, look));
        marks.push(text(LEFT - 3, y + 9, "AB"[s], { class: "side" }));
        if (defined(low)) marks.push(...whisker(share(low), share(high), y + 5.5));
      });
      const { value, low, high } = at(gap, k);
      if (!defined(value)) return;
      if (defined(low)) marks.push(...whisker(apart(low), apart(high), top + 14));
      marks.push(svg("circle", { cx: apart(value), cy: top + 14, r: 5, fill: index.colours[label], class: "dot" }));
    });
    const bottom = height + 30;
    for (const value of [0, most]) marks.push(text(share(value), bottom, `${Math.round(100 * value)}%`, { "text-anchor": value ? "end" : "start" }));
    for (const value of [-far, 0, far]) marks.push(text(apart(value), bottom, points(value).replace(/\.\d/, ""), { "text-anchor": "middle" }));
    return svg("svg", { width, height: bottom + 4, "aria-hidden": "true" }, ...marks);
  }

  function whisker(x1, x2, y) {
    const ends = [x1, x2].map((x) => line(x, y - 3, x, y + 3, { class: "whisker" }));
    return [line(x1, y, x2, y, { class: "whisker" }), ...ends];
  }

  function table(index, sides, gap) {
    const cell = (write, estimate, k) => html("td", {}, interval(write, at(estimate, k)));
    const rows = index.labels.map((label, k) =>
      html("tr", {}, html("th", { scope: "row" }, label), ...sides.map((side) => cell(percent, side, k)), cell(points, gap, k)),
    );
    const head = ["emotion", "A", "B", "A − B (points)"].map((name) => html("th", { scope: "col" }, name));
    return [html("thead", {}, html("tr", {}, ...head)), html("tbody", {}, ...rows)];
  }

  // A film's shares as a stack; in words for those who cannot see it.
  function stack(index, run, film) {
    const { share, n_faces } = index.by_film[run][film.id];
    if (!n_faces) return html("span", {}, "no face");
    const words = index.labels.map((label, k) => `${label} ${percent(share[k])}`).join(", ");
    const parts = index.labels.map((label, k) =>
      html("span", { style: `flex-grow:${share[k]};background:${index.colours[label]}` }),
    );
    return html("span", { class: "stack", role: "img", "aria-label": words, title: words }, ...parts);
  }

  // The rows of films of either side; `open` shows a film over its time.
  function filmRows(index, view, sides, open) {
    return index.films
      .filter((film) => sides.some((side) => side.films.includes(film)))
      .map((film) => {
        const button = html("button", { type: "button" }, film.title);
        button.addEventListener("click", () => open(film.id));
        const stacks = ["a", "b"].map((name, s) =>
          html("td", {}, sides[s].films.includes(film) ? stack(index, view[name].run, film) : ""),
        );
        const { n_faces, n_frames } = index.by_film[view.a.run][film.id];
        return html(
          "tr",
          {},
          html("th", { scope: "row" }, button),
          html("td", {}, film.genre ?? ""),
          html("td", {}, `${n_faces} of ${n_frames}`),
          ...stacks,
        );
      });
  }

  function show(root, index, view, open) {
    const sides = [estimate(index, view.a), estimate(index, view.b)];
    const gap = difference(index, view.a, view.b, sides);
    const part = (name) => root.querySelector(`[data-part="${name}"]`);
    part("share-chart").replaceChildren(chart(index, sides, gap, part("share-chart").clientWidth));
    part("share-table").replaceChildren(...table(index, sides, gap));
    part("share-films").replaceChildren(...filmRows(index, view, sides, open));
    part("share-note").textContent = note(index, sides, gap);
  }

  function note(index, sides, gap) {
    const over = sides.map((side, s) => `${"AB"[s]} is over ${side.n_films} film${side.n_films === 1 ? "" : "s"} with a face`);
    const level = `${Math.round(100 * index.level)}%`;
    const told = gap.low?.some(defined)
      ? `Brackets are ${level} bootstrap intervals over films, each by itself.`
      : "The study has no interval of this difference: it compares two models on the same films, or one model on the films of two genres, where each genre has several.";
    return `${over.join(", ")}. ${told}`;
  }

  return { show };
})();
