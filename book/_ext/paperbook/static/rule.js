// Claims 1 to 5 by a rule of the reader's: of all ways to count the one that is chosen, then Holm's
// adjustment and the verdict as in `exe_core.claims`.
(() => {
  const form = document.getElementById("reader-rule");
  const control = form.elements;
  const { ways, others } = JSON.parse(form.dataset.rule);
  const rows = [...form.querySelectorAll("tbody tr")];
  const selects = [...form.querySelectorAll("select")];
  // What is not chosen is our choice; null is a choice that a claim does not have.
  function way(claim) {
    const own = ways.filter(({ claim_id }) => claim_id === claim);
    const plan = own.find(({ planned }) => planned);
    const fits = (one) => ({ name, value }) =>
      one[name] === null || String(one[name]) === (value || String(plan[name]));
    return { ...own.find((one) => selects.every(fits(one))) };
  }

  // Holm (1979); the p-values of the other claims stay.
  function adjust(claims) {
    let least = 0;
    [...claims, ...others.map((p_value) => ({ p_value }))]
      .sort((one, other) => one.p_value - other.p_value)
      .forEach((claim, k, { length }) => {
        least = claim.adjusted = Math.min(1, Math.max(least, (length - k) * claim.p_value));
      });
  }

  function verdict({ value, low, high, reference, tolerance, level, adjusted }) {
    const [clear, equal] = [adjusted < 1 - level, tolerance > 0];
    const off = tolerance * control.tolerance.value;
    const [above, below] = [low > reference + off, high < reference - off];
    if (clear && above && !equal) return "supported";
    if (above || below) return clear ? "contradicted" : "not supported";
    const near = equal && Math.abs(value - reference) <= off && high - low <= 0.3;
    return near ? "supported" : "not supported";
  }

  function judge() {
    const number = (value) => value.toFixed(2).replace("-", "−");
    const claims = rows.map((row) => way(row.dataset.claim));
    adjust(claims);
    claims.forEach((claim, k) => {
      const [, estimate, p, judged, plan] = rows[k].cells;
      estimate.textContent = `${number(claim.value)} [${number(claim.low)}, ${number(claim.high)}]`;
      p.textContent = claim.adjusted.toFixed(3);
      judged.textContent = verdict(claim);
      rows[k].classList.toggle("departs", judged.textContent !== plan.textContent);
    });
    const n = form.querySelectorAll(".departs").length;
    control.departs.value = `${n} of ${rows.length} verdicts differ from ours.`;
    control.times.value = `${control.tolerance.value} ×`;
  }

  form.addEventListener("input", judge);
  form.addEventListener("reset", () => setTimeout(judge));
  judge();
})();
