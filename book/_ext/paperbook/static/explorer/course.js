// What is added up here and not in a table, since the reader sets the threshold and the smoothing.
// The same as `exe_core.footage.courses` computes (a test holds it); no intervals are made.
explorer.course = (() => {
  const REACH = 3; // kernel widths
  const MAX_TIMES = 200;

  // The frames whose face is read with at least this confidence.
  function sure(run, threshold) {
    return [...run.top.keys()].filter((k) => run.predicted[k] >= 0 && run.top[k] >= threshold);
  }

  function shares(run, threshold) {
    const faces = sure(run, threshold);
    const share = run.probability.map(
      (_, label) => faces.filter((k) => run.predicted[k] === label).length / faces.length,
    );
    return { n: faces.length, share };
  }

  // The sampled times or, of a long film that is smoothed, as many as a chart can show.
  function times(film, width) {
    const all = film.time_s;
    if (all.length <= MAX_TIMES || width === 0) return all;
    const step = (all.at(-1) - all[0]) / (MAX_TIMES - 1);
    return Array.from({ length: MAX_TIMES }, (_, k) => all[0] + k * step);
  }

  // By label, at each time: the mean probability, or the share of faces read as it, under a
  // Gaussian kernel that ends at three of its widths; NaN where no face is under it.
  function smoothed(film, run, { measure, threshold, width }) {
    const faces = sure(run, threshold);
    return run.probability.map((probability, label) => {
      const value = (k) => (measure === "share" ? run.predicted[k] === label : probability[k]);
      return times(film, width).map((time) => {
        let [sum, total] = [0, 0];
        for (const k of faces) {
          const weight = kernel(film.time_s[k] - time, width);
          sum += weight * value(k);
          total += weight;
        }
        return sum / total;
      });
    });
  }

  function kernel(distance, width) {
    if (width === 0) return distance === 0 ? 1 : 0;
    const far = Math.abs(distance) / width;
    return far <= REACH ? Math.exp(-0.5 * far ** 2) : 0;
  }

  // By label, the faces read as it up to each time: what the published timelines show.
  function counted(film, run, { threshold, width }) {
    const faces = sure(run, threshold);
    return run.probability.map((_, label) => {
      const own = faces.filter((k) => run.predicted[k] === label).map((k) => film.time_s[k]);
      return times(film, width).map((time) => own.filter((at) => at <= time).length);
    });
  }

  function course(film, run, options) {
    return options.measure === "count" ? counted(film, run, options) : smoothed(film, run, options);
  }

  return { course, shares, times };
})();
