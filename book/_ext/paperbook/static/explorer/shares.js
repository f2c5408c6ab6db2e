// The shares of two selections, their difference, and the films of both. Estimates are those of the
// study's tables; only a choice of single films, which has no row there, is averaged here.
explorer.shares = (() => {
  const { html, svg, text, line, rect, scale, percent, points, interval, defined } = explorer.marks;
  const [LEFT, TOP, ROW] = [66, 18, 34];

  // What the table says of a selection; of films that were picked, their mean.
  function estimate(index, side) {
    const films = explorer.view.filmsOf(side, index);
    const held = index.shares.find((row) => row.run_id === side.run && is(row.genre, side.genre));
    if (held && !side.films) return { ...held, films };
    const shares = films
      .map((film) => index.by_film[side.run][film.id].share)
      .filter((share) => share.every(defined));
    const mean = (k) => shares.reduce((sum, share) => sum + share[k], 0) / shares.length;
    return { value: index.labels.map((_, k) => mean(k)), n_films: shares.length, films };
  }

  const is = (genre, chosen) => (genre ?? "") === chosen;

  // The difference with its interval where the study has compared the two; else that of the shares.
  function difference(index, a, b, sides) {
    const compared = (first, second) =>
      index.differences.find(
        (row) =>
          row.run_id === first.run &&
          row.other_run_id === second.run &&
          is(row.genre, first.genre) &&
          is(row.other_genre, second.genre),
      );
    const [held, turned] = a.films || b.films ? [] : [compared(a, b), compared(b, a)];
    if (held) return { value: held.difference, low: held.low, high: held.high };
    const minus = (values) => values.map((value) => (defined(value) ? -value : null));
    if (turned) {
      return { value: minus(turned.difference), low: minus(turned.high), high: minus(turned.low) };
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
    const height = TOP + ROW * index.labels.length;
    const most = Math.max(0.2, ...all(...sides));
    const far = Math.max(0.1, ...all(gap).map(Math.abs));
    const share = scale([0, most], [LEFT, middle - 22]);
    const apart = scale([-far, far], [middle + 20, width - 20]);
    const centred = { "text-anchor": "middle" };
    const marks = [
      text(LEFT, 10, "share of faces"),
      text(apart(0), 10, "A − B, points", centred),
      line(apart(0), 14, apart(0), height, { class: "zero" }),
    ];
    index.labels.forEach((label, k) => {
      const [top, fill] = [TOP + k * ROW, index.colours[label]];
      marks.push(text(0, top + 17, label));
      sides.forEach((side, s) => marks.push(...bar(at(side, k), "AB"[s], share, { fill, top })));
      const { value, ...ends } = at(gap, k);
      if (!defined(value)) return;
      const look = { cx: apart(value), cy: top + 14, r: 5, fill, class: "dot" };
      marks.push(...whisker(ends, apart, top + 14), svg("circle", look));
    });
    for (const value of [0, most]) {
      marks.push(text(share(value), height + 12, `${Math.round(100 * value)}%`, centred));
    }
    for (const value of [-far, 0, far]) {
      marks.push(text(apart(value), height + 12, Math.round(100 * value), centred));
    }
    return svg("svg", { width, height: height + 16, "aria-hidden": "true" }, ...marks);
  }

  const all = (...estimates) =>
    estimates
      .flatMap(({ value, low = [], high = [] }) => [...value, ...low, ...high])
      .filter(defined);

  function bar({ value, ...ends }, side, share, { fill, top }) {
    if (!defined(value)) return [];
    const y = top + 2 + (side === "B" ? 13 : 0);
    return [
      rect(LEFT, y, share(value) - LEFT, 11, { fill, class: `bar ${side}` }),
      text(LEFT - 3, y + 9, side, { class: "side" }),
      ...whisker(ends, share, y + 5.5),
    ];
  }

  // The interval as a line with ends, in a white border, since it may lie on a dark bar.
  function whisker({ low, high }, x, y) {
    if (!defined(low)) return [];
    return ["whisker halo", "whisker"].flatMap((look) => [
      line(x(low), y, x(high), y, { class: look }),
      ...[low, high].map((end) => line(x(end), y - 3, x(end), y + 3, { class: look })),
    ]);
  }

  function table(index, sides, gap) {
    const cell = (write, estimate, k) => html("td", {}, interval(write, at(estimate, k)));
    const rows = index.labels.map((label, k) =>
      html(
        "tr",
        {},
        html("th", { scope: "row" }, label),
        ...sides.map((side) => cell(percent, side, k)),
        cell(points, gap, k),
      ),
    );
    const names = ["emotion", "A", "B", "A − B, points"];
    const head = names.map((name) => html("th", { scope: "col" }, name));
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
    const told = { role: "img", "aria-label": words, title: words };
    return html("span", { class: "stack", ...told }, ...parts);
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
    const films = (n) => `${n} film${n === 1 ? "" : "s"} with a face`;
    const over = sides.map((side, s) => `${"AB"[s]} is over ${films(side.n_films)}`).join(", ");
    const level = Math.round(100 * index.level);
    return gap.low?.some(defined)
      ? `${over}. In brackets: ${level}% bootstrap intervals over films, each by itself.`
      : `${over}. The study has no interval of this difference: it compares two models on the ` +
          "same films, and one model on the films of two genres, where each genre has several.";
  }

  return { show };
})();
