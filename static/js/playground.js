// The playground's manners: Enter sends, an ended answer is announced once, and focus is never lost.
(function () {
  "use strict";
  const form = document.getElementById("playground-form");
  const prompt = form.querySelector('[name="prompt"]');

  form.addEventListener("keydown", (event) => {
    if (event.target !== prompt || event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });

  form.addEventListener("htmx:afterRequest", (event) => {
    if (event.target !== form || !event.detail.successful) return;
    const turn = document.querySelector("#conversation > :last-child");
    if (turn && turn.hasAttribute("sse-connect")) prompt.value = "";
    if (turn) turn.scrollIntoView({ block: "nearest" });
    prompt.focus();
  });

  document.addEventListener("htmx:sseClose", (event) => {
    const turn = event.target.closest(".turn");
    if (!turn) return;
    const stop = turn.querySelector(".turn__stop");
    if (stop) {
      if (stop.contains(document.activeElement)) prompt.focus();
      stop.remove();
    }
    const text = turn.querySelector(".turn__text");
    text.setAttribute("aria-busy", "false");
    document.getElementById("playground-status").textContent = `Answer complete: ${text.textContent}`;
  });
})();
