// The two charts of the explorer: shares of two selections, and one film over its time.
explorer.charts = (() => {
  const { defined } = explorer;

  function fill(element, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  const html = (name, attributes = {}, ...children) =>
    fill(document.createElement(name), attributes, children);
  const svg = (name, attributes = {}, ...children) =>
    fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
  const text = (x, y, words, attributes = {}) => svg("text", { x, y, ...attributes }, words);
  const line = (x1, y1, x2, y2, attributes) => svg("line", { x1, y1, x2, y2, ...attributes });
  const rect = (x, y, width, height, attributes) =>
    svg("rect", { x, y, width: Math.max(0, width), height, ...attributes });
  const scale = (from, to) => (value) =>
    to[0] + ((value - from[0]) / (from[1] - from[0])) * (to[1] - to[0]);
  const picture = (width, height, marks) =>
    svg("svg", { width, height, "aria-hidden": "true" }, ...marks);

  function clock(time_s) {
    const whole = Math.round(time_s);
    const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
    const [first, ...rest] = parts[0] ? parts : parts.slice(1);
    return [first, ...rest.map((part) => String(part).padStart(2, "0"))].join(":");
  }

  // A line through points [x, y], broken where y is not defined; a lone point is a dot of it.
  function path(points, attributes) {
    let pen = "M";
    const parts = points.map(([x, y], k) => {
      if (!defined(y)) {
        pen = "M";
        return "";
      }
      const alone = pen === "M" && !defined(points[k + 1]?.[1] ?? null);
      const part = `${pen}${x.toFixed(1)},${y.toFixed(1)}${alone ? "h0" : ""}`;
      pen = "L";
      return part;
    });
    return svg("path", { d: parts.join(""), fill: "none", ...attributes });
  }

  // An interval as a line with ends, in a border of paper, since it may lie on a dark bar.
  function whisker({ low, high }, x, y) {
    if (!defined(low)) return [];
    return ["whisker halo", "whisker"].flatMap((look) => [
      line(x(low), y, x(high), y, { class: look }),
      ...[low, high].map((end) => line(x(end), y - 3, x(end), y + 3, { class: look })),
    ]);
  }

  // Rows of labels: a bar for A, one for B, and the dot of their difference, with intervals.
  function shares(index, sides, gap, width) {
    const [left, top, row] = [66, 18, 34];
    const [middle, height] = [left + (width - left) * 0.56, top + row * index.labels.length];
    const all = (...rows) => rows.flat().flatMap(Object.values).filter(defined);
    const most = Math.max(0.2, ...all(...sides));
    const far = Math.max(0.1, ...all(gap).map(Math.abs));
    const share = scale([0, most], [left, middle - 22]);
    const apart = scale([-far, far], [middle + 20, width - 20]);
    const centred = { "text-anchor": "middle" };
    const marks = [
      text(left, 10, "share of faces"),
      text(apart(0), 10, "A − B, points", centred),
      line(apart(0), 14, apart(0), height, { class: "zero" }),
      ...[0, most].map((at) => text(share(at), height + 12, `${Math.round(100 * at)}%`, centred)),
      ...[-far, 0, far].map((at) => text(apart(at), height + 12, Math.round(100 * at), centred)),
    ];
    index.labels.forEach((label, k) => {
      const [y, colour] = [top + k * row, index.colours[label]];
      marks.push(text(0, y + 17, label));
      sides.forEach((side, s) => {
        if (!defined(side[k].value)) return;
        const at = y + 2 + 13 * s;
        const look = { fill: colour, class: `bar ${"AB"[s]}` };
        marks.push(rect(left, at, share(side[k].value) - left, 11, look));
        marks.push(text(left - 3, at + 9, "AB"[s], { class: "side" }));
        marks.push(...whisker(side[k], share, at + 5.5));
      });
      if (!defined(gap[k].value)) return;
      const dot = { cx: apart(gap[k].value), cy: y + 14, r: 5, fill: colour, class: "dot" };
      marks.push(...whisker(gap[k], apart, y + 14), svg("circle", dot));
    });
    return picture(width, height + 16, marks);
  }

  // A line a label, the events, and below them each frame as it is predicted and as it is.
  function film(content, run, options, { index, width, most }) {
    const [left, top, plot, strip] = [34, 8, 170, 12];
    const end = content.time_s.at(-1) || 1;
    const x = scale([0, end], [left, width - 8]);
    const y = scale([0, most], [top + plot, top]);
    const counts = options.measure === "count";
    const at = explorer.times(content, options.width);
    const marks = [0, most / 2, most].flatMap((value) => {
      const words = counts ? Math.round(value) : `${Math.round(100 * value)}%`;
      const name = text(left - 4, y(value) + 4, words, { "text-anchor": "end" });
      return [line(left, y(value), width - 8, y(value), { class: "grid" }), name];
    });
    for (const { time_s } of content.events) {
      marks.push(line(x(time_s), top, x(time_s), top + plot, { class: "event" }));
    }
    explorer.course(content, run, options).forEach((values, label) => {
      const points = values.map((value, k) => [x(at[k]), defined(value) ? y(value) : NaN]);
      const look = { stroke: index.colours[index.labels[label]], class: "course" };
      marks.push(path(points, look));
    });
    const step = at.length > 1 ? x(content.time_s[1]) - x(content.time_s[0]) : 20;
    const rows = [["model", run.predicted, (k) => run.top[k] >= options.threshold]];
    if (content.truth) rows.push(["true", explorer.places(content.truth), () => true]);
    rows.forEach(([name, places, sure], row) => {
      const above = top + plot + 8 + row * (strip + 3);
      marks.push(text(left - 2, above + 10, name, { class: "side" }));
      places.forEach((label, k) => {
        if (label < 0) return;
        const look = { fill: index.colours[index.labels[label]], opacity: sure(k) ? 1 : 0.25 };
        const start = Math.max(left, x(content.time_s[k]) - step / 2);
        marks.push(rect(start, above, Math.max(1, step - 0.5), strip, look));
      });
    });
    const bottom = top + plot + 8 + rows.length * (strip + 3);
    for (const [part, anchor] of [[0, "start"], [0.5, "middle"], [1, "end"]]) {
      marks.push(text(x(part * end), bottom + 11, clock(part * end), { "text-anchor": anchor }));
    }
    return picture(width, bottom + 16, marks);
  }

  return { html, clock, shares, film };
})();
