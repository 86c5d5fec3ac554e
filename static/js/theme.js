// Loaded before the first paint, so that a remembered theme never flashes its opposite.
(function () {
  "use strict";
  const root = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  function remembered() {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null;
    }
  }

  function shown() {
    return root.dataset.theme || (dark.matches ? "dark" : "light");
  }

  function label() {
    const other = shown() === "dark" ? "light" : "dark";
    for (const button of document.querySelectorAll(".theme-toggle")) {
      button.dataset.shows = other;
      button.setAttribute("aria-label", `Use the ${other} theme`);
      button.hidden = false;
    }
  }

  const theme = remembered();
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;

  document.addEventListener("DOMContentLoaded", label);
  dark.addEventListener("change", label);
  document.addEventListener("click", (event) => {
    if (!event.target.closest(".theme-toggle")) return;
    root.dataset.theme = shown() === "dark" ? "light" : "dark";
    try {
      localStorage.setItem("theme", root.dataset.theme);
    } catch {
      // A browser that refuses storage still switches this page.
    }
    label();
  });
})();
