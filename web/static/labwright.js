// What the page does beyond plain forms and links. Everything can be read and sent without it.
"use strict";

// Review by keyboard: parts and steps are stops, in the order of the page.
(() => {
  const stops = [...document.querySelectorAll("[data-stop]")];
  if (!stops.length) return;
  let here = -1;

  function go(step) {
    stops[here]?.classList.remove("here");
    here = Math.max(0, Math.min(stops.length - 1, here + step));
    const stop = stops[here];
    stop.classList.add("here");
    stop.tabIndex = -1;
    stop.focus({ preventScroll: true });
    stop.scrollIntoView({ block: "start" });
  }

  function comment() {
    const tools = (stops[here] ?? document).querySelector(".tools");
    (tools?.querySelector("textarea") ?? tools?.querySelector("a"))?.focus();
    tools?.querySelector(":scope > a")?.click();
  }

  const keys = {
    j: () => go(1),
    k: () => go(-1),
    c: comment,
    a: () => document.querySelector("[data-approve]")?.focus(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
    const act = keys[event.key];
    if (act) {
      event.preventDefault();
      act();
    }
  });
})();

// When a watched run has stopped, its page has other buttons and results.
document.addEventListener("htmx:sseClose", () => window.location.reload());
