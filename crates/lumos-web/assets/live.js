// Keeps a page current: after a new ledger entry it loads the page again in the background and puts the parts
// marked data-live in place. Forms are never touched. Without this script everything works by loading again.
"use strict";
(() => {
  if (!window.EventSource) return;
  let waiting = null;
  const record = (root) => root.querySelector("[data-record]")?.dataset.record ?? "";
  const refresh = async () => {
    waiting = null;
    const answer = await fetch(location.href, { credentials: "same-origin" });
    if (!answer.ok || answer.redirected) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll("[data-live]")) {
      const next = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
      if (next && !part.contains(document.activeElement) && part.innerHTML !== next.innerHTML) {
        part.replaceWith(document.importNode(next, true));
      }
    }
    const notice = document.querySelector("[data-notice]");
    if (notice && record(document) !== record(fresh)) {
      notice.textContent = "What is signed here has changed since you opened the page. Load it again before you sign.";
    }
  };
  const soon = () => {
    if (waiting === null && !document.hidden) waiting = setTimeout(() => refresh().catch(() => {}), 700);
  };
  const events = new EventSource("/api/v1/events?unnamed=true");
  events.addEventListener("message", soon);
  document.addEventListener("visibilitychange", soon);
  addEventListener("pagehide", () => events.close());
})();
