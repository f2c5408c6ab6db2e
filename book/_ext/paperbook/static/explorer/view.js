// What the reader has chosen, and the same as the part of the address after "#", so that a view can
// be linked. Only what differs from the opening view is written.
explorer.view = (() => {
  const MEASURES = ["probability", "share", "count"];

  function opening(index) {
    const [first, second = first] = index.runs;
    const film = index.films[0].id;
    const side = (run) => ({ run, genre: "", films: null });
    return {
      a: side(first),
      b: side(second),
      film,
      measure: "probability",
      threshold: 0,
      width: null, // as the film's own chart has it
      hidden: [],
      frame: null,
    };
  }

  function write(view, index) {
    const [start, words] = [opening(index), new URLSearchParams()];
    for (const name of ["a", "b"]) {
      const side = view[name];
      if (side.run !== start[name].run) words.set(name, side.run);
      if (side.genre) words.set(`${name}-genre`, side.genre);
      side.films?.forEach((film) => words.append(`${name}-film`, film));
    }
    for (const name of ["film", "measure", "threshold", "width", "frame"]) {
      if (view[name] !== start[name]) words.set(name, view[name]);
    }
    view.hidden.forEach((label) => words.append("hidden", label));
    return words.toString();
  }

  // Gives the view, and what the address names that this study does not have.
  function read(address, index) {
    const [view, words, unknown] = [opening(index), new URLSearchParams(address), []];
    const ids = index.films.map((film) => film.id);
    const genres = index.films.map((film) => film.genre);
    const taken = (name, allowed) => {
      const given = words.getAll(name);
      unknown.push(...given.filter((word) => !allowed.includes(word)));
      return given.filter((word) => allowed.includes(word));
    };
    const number = (name, low, high) => {
      const value = Number(words.get(name));
      if (words.has(name) && value >= low && value <= high) view[name] = value;
      else if (words.has(name)) unknown.push(words.get(name));
    };
    for (const name of ["a", "b"]) {
      view[name].run = taken(name, index.runs)[0] ?? view[name].run;
      const genre = words.get(`${name}-genre`);
      if (genres.includes(genre)) view[name].genre = genre;
      else if (genre) unknown.push(genre);
      const films = taken(`${name}-film`, ids);
      if (films.length) view[name].films = films;
    }
    view.film = taken("film", ids)[0] ?? view.film;
    view.measure = taken("measure", MEASURES)[0] ?? view.measure;
    view.hidden = taken("hidden", index.labels);
    number("threshold", 0, 1);
    number("width", 0, Infinity);
    number("frame", 0, Infinity);
    return { view, unknown };
  }

  // The films of a side: those picked one by one, or those of its genre.
  function filmsOf(side, index) {
    const picked = (film) => side.films.includes(film.id);
    const ofGenre = (film) => !side.genre || film.genre === side.genre;
    return index.films.filter(side.films ? picked : ofGenre);
  }

  return { read, write, filmsOf };
})();
