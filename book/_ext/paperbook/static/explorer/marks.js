// Small makers: elements, numbers as text, and the parts of a chart.
explorer.marks = (() => {
  const SVG = "http://www.w3.org/2000/svg";

  function fill(element, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  const html = (name, attributes = {}, ...children) =>
    fill(document.createElement(name), attributes, children);
  const svg = (name, attributes = {}, ...children) =>
    fill(document.createElementNS(SVG, name), attributes, children);

  const text = (x, y, words, attributes = {}) => svg("text", { x, y, ...attributes }, words);
  const line = (x1, y1, x2, y2, attributes) => svg("line", { x1, y1, x2, y2, ...attributes });
  const rect = (x, y, width, height, attributes) =>
    svg("rect", { x, y, width: Math.max(0, width), height, ...attributes });

  const defined = (value) => value !== null && !Number.isNaN(value);

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

  const scale = (from, to) => (value) =>
    to[0] + ((value - from[0]) / (from[1] - from[0])) * (to[1] - to[0]);

  const percent = (value) => (defined(value) ? `${(100 * value).toFixed(1)}%` : "n/a");
  const points = (value) => {
    if (!defined(value)) return "n/a";
    const size = Math.abs(100 * value).toFixed(1);
    return `${Number(size) === 0 ? "" : value > 0 ? "+" : "−"}${size}`;
  };
  const interval = (write, { value, low, high }) =>
    defined(low) ? `${write(value)} [${write(low)}, ${write(high)}]` : write(value);

  function clock(time_s) {
    const whole = Math.round(time_s);
    const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
    const [first, ...rest] = parts[0] ? parts : parts.slice(1);
    return [first, ...rest.map((part) => String(part).padStart(2, "0"))].join(":");
  }

  return { html, svg, text, line, rect, path, scale, percent, points, interval, clock, defined };
})();
