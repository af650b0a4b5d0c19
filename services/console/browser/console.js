// What the pages of the console need in the browser and NiceGUI does not bring: kept texts, times, the menu.
(() => {
  "use strict";
  const PREFIX = "metachat:text:";
  const KEEP_DAYS = 14;

  // Kept texts: what is typed stays here until it was sent.
  const stored = (key) => {
    try {
      return JSON.parse(localStorage.getItem(PREFIX + key))?.text ?? "";
    } catch {
      return "";
    }
  };
  const store = (key, text) => {
    try {
      if (text) localStorage.setItem(PREFIX + key, JSON.stringify({ text, at: Date.now() }));
      else localStorage.removeItem(PREFIX + key);
    } catch {
      // Full or forbidden: the text then lives as long as the page.
    }
  };
  const prune = (all) => {
    for (const name of Object.keys(localStorage)) {
      if (!name.startsWith(PREFIX)) continue;
      let at = 0;
      try {
        at = JSON.parse(localStorage.getItem(name)).at;
      } catch {
        at = 0;
      }
      if (all || Date.now() - at > KEEP_DAYS * 86400000) localStorage.removeItem(name);
    }
  };
  const restore = (field) => {
    if (field.dataset.keptDone) return;
    field.dataset.keptDone = "1";
    const text = stored(field.dataset.kept);
    if (!text || text === field.value) return;
    const put = () => {
      if (!window.did_handshake) return setTimeout(put, 50);
      // Typed meanwhile: that is newer.
      if (stored(field.dataset.kept) !== text) return;
      field.value = text;
      field.dispatchEvent(new Event("input", { bubbles: true }));
      // A field that waits for a pause in typing tells the server now: who saves at once saves this.
      field.dispatchEvent(new Event("change", { bubbles: true }));
    };
    put();
  };
  document.addEventListener(
    "input",
    (event) => {
      const field = event.target;
      if (field?.dataset?.kept) store(field.dataset.kept, field.value);
    },
    true,
  );

  // Times, in this browser's zone.
  const UNITS = [
    [60, "second", 1],
    [3600, "minute", 60],
    [86400, "hour", 3600],
    [7 * 86400, "day", 86400],
  ];
  const write = (element) => {
    const at = new Date(element.getAttribute("datetime"));
    if (Number.isNaN(at.getTime())) return;
    const language = element.getAttribute("lang") || "en";
    const full = new Intl.DateTimeFormat(language, { dateStyle: "full", timeStyle: "long" }).format(at);
    const style = element.dataset.moment;
    let text = full;
    if (style === "time") text = new Intl.DateTimeFormat(language, { timeStyle: "short" }).format(at);
    else if (style === "date") text = new Intl.DateTimeFormat(language, { dateStyle: "medium" }).format(at);
    else if (style === "relative") {
      const seconds = (at - Date.now()) / 1000;
      const unit = UNITS.find(([below]) => Math.abs(seconds) < below);
      text = unit
        ? new Intl.RelativeTimeFormat(language, { numeric: "auto" }).format(Math.round(seconds / unit[2]), unit[1])
        : new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(at);
    }
    if (element.textContent !== text) element.textContent = text;
    if (element.title !== full) element.title = full;
  };

  const look = (root) => {
    root.querySelectorAll?.("[data-kept]").forEach(restore);
    root.querySelectorAll?.("time[data-moment]").forEach(write);
  };
  const begin = () => {
    prune(false);
    new MutationObserver(veil).observe(document.body, { childList: true, subtree: false });
    look(document);
    new MutationObserver((changes) => {
      for (const change of changes) {
        if (change.type === "attributes") {
          if (change.target.matches("time[data-moment]")) write(change.target);
          continue;
        }
        for (const node of change.addedNodes) {
          if (node.nodeType !== 1) continue;
          if (node.matches("[data-kept]")) restore(node);
          if (node.matches("time[data-moment]")) write(node);
          look(node);
        }
      }
    }).observe(document.body, { childList: true, subtree: true, attributes: true, attributeFilter: ["datetime"] });
    setInterval(() => document.querySelectorAll("time[data-moment=relative]").forEach(write), 15000);
  };
  // True once the person signs out: the page is on its way already.
  let leaving = false;

  // The menu on narrow screens, language and colours, leaving.
  document.addEventListener("click", (event) => {
    const toggle = event.target.closest?.("[data-toggle]");
    if (toggle) {
      const open = toggle.getAttribute("aria-expanded") !== "true";
      toggle.setAttribute("aria-expanded", String(open));
      document.getElementById(toggle.dataset.toggle)?.classList.toggle("open", open);
    }
    const choice = event.target.closest?.("[data-cookie]");
    if (choice) {
      const secure = location.protocol === "https:" ? "; Secure" : "";
      const other = document.body.classList.contains("body--dark") ? "light" : "dark";
      const value = choice.dataset.value === "other-theme" ? other : choice.dataset.value;
      document.cookie = `${choice.dataset.cookie}=${value}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
      location.reload();
    }
    // Who signs out leaves no drafts behind for the next one at this machine.
    if (event.target.closest?.("[data-sign-out]")) {
      leaving = true;
      prune(true);
      localStorage.removeItem("metachat:tenants");
    }
  });
  document.addEventListener("keydown", (event) => {
    const toggle = document.querySelector("[data-toggle][aria-expanded=true]");
    if (event.key === "Escape" && toggle) {
      toggle.click();
      toggle.focus();
    }
  });

  // While a dialog is open the page behind it is out of reach; afterwards the focus is where it was.
  let focused = null;
  document.addEventListener("focusin", (event) => {
    // A click on one of Quasar's buttons puts the focus on a part of it that keyboards never reach.
    if (event.target.closest?.("#app")) focused = event.target.closest(".q-btn") ?? event.target;
  });
  const veil = () => {
    const page = document.getElementById("app");
    const open = Boolean(document.querySelector(".q-dialog[aria-modal=true]"));
    if (!page || page.inert === open) return;
    page.inert = open;
    const lost = document.activeElement === document.body || document.activeElement?.matches(".q-focus-helper");
    if (!open && lost && focused?.isConnected) focused.focus();
  };

  // The session lives while the person does something.
  let told = Date.now();
  const active = () => {
    if (Date.now() - told < 60000) return;
    told = Date.now();
    fetch("/session", { method: "POST" })
      .then((answer) => answer.status === 401 && window.metachat.signedOut())
      .catch(() => {});
  };
  ["pointerdown", "keydown"].forEach((name) => document.addEventListener(name, active, { passive: true }));

  window.metachat = {
    forget: (key) => store(key, ""),
    copy: (text) =>
      navigator.clipboard
        ? navigator.clipboard.writeText(text).then(
            () => true,
            () => false,
          )
        : Promise.resolve(false),
    signedOut: () => {
      if (leaving) return;
      const to = location.pathname + location.search;
      location.assign(`/sign-in?over&to=${encodeURIComponent(to)}`);
    },
  };

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();
