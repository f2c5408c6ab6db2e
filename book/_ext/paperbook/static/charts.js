// Draws a chart live once it comes near; until then, and without scripts, its picture stays.
const waiting = new Map();
window.paperChart = (name, spec) => {
  for (const frame of waiting.get(name)) {
    const chart = document.createElement("div");
    vegaEmbed(chart, spec, { renderer: "svg", actions: false })
      .then(() => {
        frame.replaceChildren(chart);
        frame.parentElement.dataset.live = "true";
      })
      .catch((fault) => console.error(`${name} stays a picture:`, fault));
  }
};

const near = new IntersectionObserver(
  (seen) => {
    for (const { isIntersecting, target } of seen) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      const script = document.createElement("script");
      script.src = target.dataset.spec;
      const name = target.dataset.spec.split("/").pop().replace(/\.js$/, "");
      waiting.set(name, [...(waiting.get(name) ?? []), target]);
      document.head.append(script);
    }
  },
  { rootMargin: "600px 0px" },
);
for (const frame of document.querySelectorAll("[data-spec]")) near.observe(frame);
