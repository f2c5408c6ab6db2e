// The files of the bundle. A page that was opened from disk may not read files, but may run them:
// each is a call of `explorer.receive` with its name and its content.
window.explorer = (() => {
  const NO_FACE = 0xffff;
  const GRID = 10_000;
  const waiting = new Map();
  const loaded = new Map();

  function receive(name, content) {
    waiting.get(name)(content);
  }

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

  // A run of a film: for each frame the place of the label it is read as (-1: no face), the
  // probability of each label, by label, and the largest of them.
  function unpack(film, run) {
    const bytes = Uint8Array.from(atob(film.probability[run]), (letter) => letter.charCodeAt(0));
    const view = new DataView(bytes.buffer);
    const n = film.frame.length;
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

  function places(letters) {
    return Int8Array.from(letters, (letter) => (letter === "." ? -1 : Number(letter)));
  }

  return { receive, load, unpack, places };
})();
