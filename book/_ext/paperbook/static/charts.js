// Replaces the static picture of each chart by the live one; without scripts the picture stays.
for (const figure of document.querySelectorAll("figure.paper-figure")) {
  const spec = figure.querySelector("script.chart-spec");
  const picture = figure.querySelector("img");
  if (!spec || !picture) continue;
  const chart = document.createElement("div");
  vegaEmbed(chart, JSON.parse(spec.textContent), { renderer: "svg", actions: false })
    .then(() => {
      (picture.closest("a") ?? picture).replaceWith(chart);
      chart.parentElement.tabIndex = 0; // so that the keyboard can scroll it too
      figure.dataset.live = "true";
    })
    .catch((fault) => console.error(`${figure.id} stays a picture:`, fault));
}
