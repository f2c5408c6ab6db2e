// Draws a chart live once it comes near; until then, and without scripts, its picture stays.
const frames = new Map();
window.paperChart = (name, spec) => {
  const [frame, chart] = [frames.get(document.currentScript), document.createElement("div")];
  vegaEmbed(chart, spec, { renderer: "svg", actions: false })
    .then(() => {
      frame.replaceChildren(chart);
      frame.parentElement.dataset.live = "true";
    })
    .catch((fault) => console.error(`${name} stays a picture:`, fault));
};

// As its picture does, a chart changes its design where the screen becomes narrow or wide.
const draw = (frame, narrow) => {
  const script = document.createElement("script");
  script.src = `${frame.dataset.spec}${narrow.matches ? ".89mm" : ""}.js`;
  frames.set(script, frame);
  document.head.append(script);
};
const near = new IntersectionObserver(
  (seen) => {
    for (const { target } of seen.filter((one) => one.isIntersecting)) {
      near.unobserve(target);
      const narrow = matchMedia(target.querySelector("source").media);
      draw(target, narrow);
      narrow.addEventListener("change", () => draw(target, narrow));
    }
  },
  { rootMargin: "600px 0px" },
);
for (const frame of document.querySelectorAll("[data-spec]")) near.observe(frame);
