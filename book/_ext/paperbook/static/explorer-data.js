// The explorer's data: the study's files, what is added up for the reader, and the view itself.
window.explorer = (() => {
  const [NO_FACE, GRID, REACH, MAX_TIMES] = [0xffff, 10_000, 3, 200]; // REACH in kernel widths
  const [waiting, loaded] = [new Map(), new Map()];
  const defined = (value) => value !== null && !Number.isNaN(value);

  // A page that was opened from disk may not read files, but may run them: each file is a call of
  // `explorer.receive` with its name and its content.
  const receive = (name, content) => waiting.get(name)(content);

  function load(folder, name) {
    if (!loaded.has(name)) {
      const content = new Promise((resolve, reject) => {
        waiting.set(name, resolve);
        const script = document.createElement("script");
        script.src = `${folder}/${name}.js`;
        script.onerror = () => reject(new Error(`${name}.js cannot be read`));
        document.head.append(script);
      });
      loaded.set(name, content);
    }
    return loaded.get(name);
  }

  const places = (letters) => Int8Array.from(letters, (one) => (one === "." ? -1 : Number(one)));

  // A run of a film: for each frame the place of the predicted label (-1: no face), the
  // probability of each label, by label, and the largest of them.
  function unpack(film, run) {
    const bytes = Uint8Array.from(atob(film.probability[run]), (letter) => letter.charCodeAt(0));
    const [view, n] = [new DataView(bytes.buffer), film.time_s.length];
    const probability = Array.from({ length: bytes.length / 2 / n }, (_, label) =>
      Float64Array.from({ length: n }, (_, frame) => {
        const parts = view.getUint16(2 * (label * n + frame), true);
        return parts === NO_FACE ? NaN : parts / GRID;
      }),
    );
    const most = (_, frame) => Math.max(...probability.map((of) => of[frame]));
    const top = Float64Array.from({ length: n }, most);
    return { predicted: places(film.predicted[run]), probability, top };
  }

  // The frames whose face is predicted with at least this confidence.
  const sure = (run, threshold) =>
    [...run.top.keys()].filter((k) => run.predicted[k] >= 0 && run.top[k] >= threshold);

  function shares(run, threshold) {
    const faces = sure(run, threshold);
    const count = (label) => faces.filter((k) => run.predicted[k] === label).length;
    return { n: faces.length, share: run.probability.map((_, k) => count(k) / faces.length) };
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
  function course(film, run, { measure, threshold, width }) {
    const [faces, at] = [sure(run, threshold), times(film, width)];
    return run.probability.map((probability, label) => {
      if (measure === "count") {
        const seen = faces.filter((k) => run.predicted[k] === label).map((k) => film.time_s[k]);
        return at.map((time) => seen.filter((one) => one <= time).length);
      }
      const value = (k) => (measure === "share" ? run.predicted[k] === label : probability[k]);
      return at.map((time) => {
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

  const genres = (index) => [...new Set(index.films.map((film) => film.genre).filter(Boolean))].sort();

  // The view holds what the controls of the same names hold, and so does the address after "#",
  // where only what differs from the opening view is written.
  function opening(index) {
    const [a, b = a] = index.runs;
    const film = index.films[0].id;
    const view = { a, "a-genre": "", b, "b-genre": "", film, measure: "probability", threshold: 0 };
    return { ...view, width: null }; // the film's own width
  }

  function write(view, index) {
    const [start, words] = [opening(index), new URLSearchParams()];
    for (const [name, value] of Object.entries(view)) {
      if (value !== start[name]) words.set(name, value);
    }
    return words.toString();
  }

  // Gives the view, and what the address names that this study does not have.
  function read(address, index) {
    const [view, unknown] = [opening(index), []];
    const measure = ["probability", "share", "count"];
    const films = index.films.map((film) => film.id);
    const allowed = { a: index.runs, b: index.runs, film: films, measure };
    allowed["a-genre"] = allowed["b-genre"] = genres(index);
    const most = { threshold: 1, width: Infinity };
    for (const [name, word] of new URLSearchParams(address)) {
      if (word >= 0 && Number(word) <= most[name]) view[name] = Number(word);
      else if (!allowed[name]?.includes(word)) unknown.push(word);
      else view[name] = word;
    }
    return { view, unknown };
  }

  return { receive, load, unpack, places, shares, times, course, genres, read, write, defined };
})();
