// From one tenant to another, for the operator: the last ones at once, all others by typing. The server searches.
(() => {
  "use strict";
  const KEY = "metachat:tenants";
  const MOST_RECENT = 8;
  const PAUSE_MS = 150;

  const recent = () => {
    try {
      const kept = JSON.parse(localStorage.getItem(KEY));
      return Array.isArray(kept) ? kept.filter((each) => each?.id && each.name).slice(0, MOST_RECENT) : [];
    } catch {
      return [];
    }
  };
  const keep = (tenants) => {
    try {
      localStorage.setItem(KEY, JSON.stringify(tenants.slice(0, MOST_RECENT)));
    } catch {
      // Full or forbidden: then there are no last ones.
    }
  };
  const make = (tag, attributes, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };

  class Switcher {
    constructor(button) {
      this.button = button;
      this.here = button.dataset.tenant;
      this.words = JSON.parse(button.dataset.words);
      this.list = make("ul", { role: "listbox", id: "switcher-list", "aria-label": this.words.title });
      this.said = make("p", { role: "status", class: "quiet" });
      this.input = make("input", {
        type: "search",
        role: "combobox",
        class: "switcher-input",
        "aria-label": this.words.search,
        placeholder: this.words.search,
        "aria-controls": "switcher-list",
        "aria-expanded": "true",
        "aria-autocomplete": "list",
        autocomplete: "off",
        spellcheck: "false",
        maxlength: "100",
      });
      const all = make("a", { href: button.dataset.all, class: "switcher-all" }, this.words.all);
      this.box = make("dialog", { class: "switcher", "aria-label": this.words.title }, this.input, this.said, this.list, all);
      document.body.append(this.box);
      this.input.addEventListener("input", () => this.search());
      this.input.addEventListener("keydown", (event) => this.key(event));
      this.list.addEventListener("click", (event) => this.go(event.target.closest("[role=option]")));
      // A click beside it closes it.
      this.box.addEventListener("click", (event) => event.target === this.box && this.box.close());
      this.box.addEventListener("close", () => this.ended());
    }

    open() {
      this.button.setAttribute("aria-expanded", "true");
      this.input.value = "";
      this.show([], true);
      this.box.showModal();
      this.box.style.setProperty("--at", `${this.button.getBoundingClientRect().left}px`);
      this.input.focus();
      this.ask(0);
    }

    ended() {
      this.asking?.abort();
      clearTimeout(this.timer);
      this.button.setAttribute("aria-expanded", "false");
      this.button.focus();
    }

    search() {
      this.ask(PAUSE_MS);
    }

    ask(pause) {
      this.asking?.abort();
      clearTimeout(this.timer);
      const asking = (this.asking = new AbortController());
      const wanted = this.input.value.trim();
      this.timer = setTimeout(async () => {
        try {
          const answer = await fetch(`/tenants?search=${encodeURIComponent(wanted)}`, { signal: asking.signal });
          if (answer.redirected || answer.status === 401) return window.metachat.signedOut();
          if (!answer.ok) throw new Error(`${answer.status}`);
          const { tenants, more } = await answer.json();
          if (!asking.signal.aborted) this.show(tenants, !wanted, more);
        } catch {
          if (!asking.signal.aborted) this.said.textContent = this.words.away;
        }
        return undefined;
      }, pause);
    }

    /** The last ones first where nothing is searched for. */
    show(found, all, more = false) {
      const first = all ? recent().filter((each) => each.id !== this.here) : [];
      const known = new Set(first.map((each) => each.id));
      const tenants = [...first, ...found.filter((each) => !known.has(each.id) && each.id !== this.here)];
      this.list.replaceChildren(
        ...tenants.map((each, index) =>
          make(
            "li",
            { role: "option", id: `switcher-${index}`, "data-id": each.id, "aria-selected": "false" },
            make("strong", { class: "cut", title: each.name }, each.name),
            make("span", { class: "quiet cut" }, each.id),
          ),
        ),
      );
      this.said.textContent = tenants.length ? (more ? this.words.more : "") : all ? "" : this.words.none;
      this.choose(tenants.length && !all ? 0 : -1);
    }

    choose(index) {
      const options = [...this.list.children];
      this.at = index;
      options.forEach((option, place) => option.setAttribute("aria-selected", String(place === index)));
      const chosen = options[index];
      if (chosen) {
        this.input.setAttribute("aria-activedescendant", chosen.id);
        chosen.scrollIntoView({ block: "nearest" });
      } else this.input.removeAttribute("aria-activedescendant");
    }

    key(event) {
      const count = this.list.childElementCount;
      const steps = { ArrowDown: 1, ArrowUp: -1 };
      if (event.isComposing) return;
      if (event.key in steps && count) {
        event.preventDefault();
        const from = this.at < 0 && steps[event.key] < 0 ? 0 : this.at;
        this.choose((from + steps[event.key] + count) % count);
      } else if (event.key === "Enter") {
        event.preventDefault();
        this.go(this.list.children[this.at]);
      } else if (event.key === "Escape") {
        // A search field would only be emptied by it.
        event.preventDefault();
        this.box.close();
      }
    }

    go(option) {
      if (!option) return;
      const { id } = option.dataset;
      // It comes back to the last ones once its page is there: one that is gone does not.
      keep(recent().filter((each) => each.id !== id));
      location.assign(`/t/${encodeURIComponent(id)}/${this.button.dataset.page}`);
    }
  }

  let switcher = null;
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-switcher]");
    if (!button) return;
    if (switcher?.button !== button) {
      switcher?.box.remove();
      switcher = new Switcher(button);
    }
    switcher.open();
  });

  const arrived = () => {
    const { tenant, name } = document.querySelector("[data-switcher]")?.dataset ?? {};
    if (tenant) keep([{ id: tenant, name: name || tenant }, ...recent().filter((each) => each.id !== tenant)]);
  };
  // The header is drawn by the page's own script, which may come later.
  const wait = () => {
    if (document.querySelector("[data-switcher]")) arrived();
    else setTimeout(wait, 100);
  };
  wait();
})();
