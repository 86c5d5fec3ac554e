// What HTML cannot do alone: copying, tabs, opening dialogs, and saying when the server did not answer.
(function () {
  "use strict";

  async function copy(button) {
    const source = document.getElementById(button.dataset.copies);
    const label = button.querySelector("[data-label]");
    const before = label.textContent;
    try {
      await navigator.clipboard.writeText(source.textContent);
      label.textContent = "Copied";
    } catch {
      window.getSelection().selectAllChildren(source);
      label.textContent = "Selected";
    }
    window.setTimeout(() => { label.textContent = before; }, 1500);
  }

  function select(tab, moveFocus) {
    const list = tab.closest('[role="tablist"]');
    for (const each of list.querySelectorAll('[role="tab"]')) {
      const isSelected = each === tab;
      each.setAttribute("aria-selected", String(isSelected));
      each.tabIndex = isSelected ? 0 : -1;
      document.getElementById(each.getAttribute("aria-controls")).hidden = !isSelected;
    }
    if (moveFocus) tab.focus();
  }

  function step(event) {
    const tab = event.target.closest('[role="tab"]');
    if (!tab) return;
    const tabs = [...tab.parentElement.querySelectorAll('[role="tab"]')];
    const index = tabs.indexOf(tab);
    const next = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    select(tabs[(next + tabs.length) % tabs.length], true);
  }

  function announce(text) {
    const notices = document.getElementById("notices");
    if (!notices) return;
    const banner = document.createElement("div");
    banner.className = "banner banner--error";
    banner.textContent = text;
    notices.replaceChildren(banner);
  }

  const current = document.querySelector(".navigation [aria-current]");
  if (current) current.scrollIntoView({ block: "nearest", inline: "center" });

  document.addEventListener("click", (event) => {
    const copier = event.target.closest("[data-copies]");
    if (copier) copy(copier);
    const tab = event.target.closest('[role="tab"]');
    if (tab) select(tab, false);
    const opener = event.target.closest("[data-opens]");
    if (opener) document.getElementById(opener.dataset.opens).showModal();
    const closer = event.target.closest("[data-closes]");
    if (closer) closer.closest("dialog").close();
  });
  document.addEventListener("keydown", step);
  // Whose session has ended is led to log in, instead of finding that page inside this one.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (new URL(event.detail.xhr.responseURL).pathname !== "/login") return;
    event.detail.shouldSwap = false;
    window.location.assign(`/login?next=${encodeURIComponent(window.location.pathname)}`);
  });
  document.addEventListener("htmx:sendError", () => announce("The server could not be reached. Check the connection and try again."));
  document.addEventListener("htmx:responseError", (event) => {
    announce(`The server answered ${event.detail.xhr.status}. Reload the page and try again.`);
  });
})();
