// Paper is light, whatever the screen was.
const root = document.documentElement;
let onScreen;
addEventListener("beforeprint", () => {
  onScreen = root.dataset.theme;
  root.dataset.theme = "light";
});
addEventListener("afterprint", () => {
  root.dataset.theme = onScreen;
});

// Copying moves the focus into a field that is then gone: give it back to the button.
document.addEventListener("click", (event) => {
  event.target.closest("button.copybtn")?.focus({ preventScroll: true });
});

// The panel of a number stands in the other half of the window; Escape closes it.
for (const event of ["pointerover", "focusin"]) {
  document.addEventListener(event, ({ target }) => {
    const value = target.closest?.(".paper-value[data-about]");
    if (!value) return;
    delete root.dataset.quiet;
    value.classList.toggle("is-low", value.getBoundingClientRect().bottom > innerHeight / 2);
  });
}
document.addEventListener("keydown", ({ key }) => {
  if (key === "Escape") root.dataset.quiet = "true";
});

// The access key E leads to the explorer.
document.querySelector('nav a[href$="explorer.html"]')?.setAttribute("accesskey", "e");
