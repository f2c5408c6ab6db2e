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
