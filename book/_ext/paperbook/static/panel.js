// Copying moves the focus into a field that is then gone: give it back to the button.
document.addEventListener("click", (event) => {
  event.target.closest("button.copybtn")?.focus({ preventScroll: true });
});
