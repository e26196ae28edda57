// What the console does in the browser by itself: the viewer's zone, the search key, tidy addresses, and being seen.
(() => {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `yipan_zone=${encodeURIComponent(zone)}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;

  document.addEventListener("keydown", (event) => {
    const writing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) || event.target.isContentEditable;
    if (event.key === "/" && !writing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      const field = document.querySelector(".shell-search input");
      if (field) {
        event.preventDefault();
        field.focus();
        field.select();
      }
    }
    if (event.key === "Escape") {
      document.querySelectorAll("details.person[open]").forEach((each) => each.removeAttribute("open"));
    }
  });

  document.addEventListener("click", (event) => {
    document.querySelectorAll("details.person[open]").forEach((each) => {
      if (!each.contains(event.target)) each.removeAttribute("open");
    });
  });

  document.addEventListener("submit", (event) => {
    if (event.target.method !== "get") return;
    event.target.querySelectorAll("input, select").forEach((field) => (field.disabled = field.value.trim() === ""));
  });

  document.addEventListener("change", (event) => {
    if (event.target.matches("form.filters select")) event.target.form.requestSubmit();
  });

  document.addEventListener("visibilitychange", () => {
    if (window.did_handshake) emitEvent("yipan_seen", document.visibilityState === "visible");
  });
})();
