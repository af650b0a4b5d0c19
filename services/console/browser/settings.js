// The settings page: unsaved changes stay in the browser, and two thresholds that cannot cross.
(() => {
  "use strict";
  // As console.js keeps texts, so that signing out takes these along.
  const PREFIX = "metachat:text:";
  window.metachatSettings = {
    keep: (key, text) => {
      try {
        if (text) localStorage.setItem(PREFIX + key, JSON.stringify({ text, at: Date.now() }));
        else localStorage.removeItem(PREFIX + key);
      } catch {
        // Full or forbidden: the changes then live as long as the page.
      }
    },
    kept: (key) => {
      try {
        return JSON.parse(localStorage.getItem(PREFIX + key))?.text ?? "";
      } catch {
        return "";
      }
    },
  };

  // A pair: [data-pair] with data-low and data-high (0..1), two ranges and two number fields inside, low ones first.
  const parts = (pair) => ({
    ranges: [...pair.querySelectorAll("input[type=range]")],
    numbers: [...pair.querySelectorAll("input[type=number]")],
  });
  const paint = (pair, low, high, but) => {
    const { ranges, numbers } = parts(pair);
    [low, high].forEach((value, side) => {
      if (ranges[side] && ranges[side] !== but) ranges[side].value = value;
      if (ranges[side]) ranges[side].setAttribute("aria-valuetext", value.toFixed(2));
      if (numbers[side] && numbers[side] !== but) numbers[side].value = value.toFixed(2);
    });
    pair.style.setProperty("--low", low);
    pair.style.setProperty("--high", high);
  };
  const fromServer = (pair) => {
    if (pair.contains(document.activeElement) && pair.dataset.busy) return;
    paint(pair, Number(pair.dataset.low), Number(pair.dataset.high));
  };
  let timer = 0;
  const changed = (event, done) => {
    const pair = event.target.closest?.("[data-pair]");
    if (!pair) return;
    const { ranges, numbers } = parts(pair);
    const fields = event.target.type === "range" ? ranges : numbers;
    const side = fields.indexOf(event.target);
    const now = ranges.map((range) => Number(range.value));
    let value = Math.min(1, Math.max(0, Math.round(Number(event.target.value) * 100) / 100));
    if (event.target.value === "" || Number.isNaN(value)) {
      if (done) paint(pair, now[0], now[1]);
      return;
    }
    // They stop at each other.
    value = side === 0 ? Math.min(value, now[1]) : Math.max(value, now[0]);
    now[side] = value;
    paint(pair, now[0], now[1], event.target.type === "number" && !done ? event.target : null);
    pair.dataset.busy = "1";
    clearTimeout(timer);
    timer = setTimeout(
      () => {
        delete pair.dataset.busy;
        pair.dispatchEvent(new CustomEvent("pair", { detail: now }));
      },
      done ? 0 : 60,
    );
  };
  document.addEventListener("input", (event) => changed(event, false));
  document.addEventListener("change", (event) => changed(event, true));

  const look = (root) => root.querySelectorAll?.("[data-pair]").forEach(fromServer);
  const begin = () => {
    look(document);
    new MutationObserver((changes) => {
      for (const change of changes) {
        if (change.type === "attributes") {
          if (change.target.matches("[data-pair]")) fromServer(change.target);
          continue;
        }
        for (const node of change.addedNodes) {
          if (node.nodeType !== 1) continue;
          const pair = node.closest("[data-pair]");
          if (pair) fromServer(pair);
          look(node);
        }
      }
    }).observe(document.body, {
      childList: true,
      subtree: true,
      attributes: true,
      attributeFilter: ["data-low", "data-high"],
    });
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();
