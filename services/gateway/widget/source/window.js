// The launcher and the window, in a shadow tree: the page's styles do not reach in, ours do not reach out. No markup is ever parsed.

const SVG = "http://www.w3.org/2000/svg";
const SIGNS = {
  chat: "M4 4h16a2 2 0 0 1 2 2v10a2 2 0 0 1-2 2H9l-5 4v-4a2 2 0 0 1-2-2V6a2 2 0 0 1 2-2z",
  close: "M5 5l14 14M19 5L5 19",
  send: "M3 11.5L21 3l-6.5 18-3.5-7.5z",
};

const sign = (name) => {
  const picture = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", "aria-hidden": "true" })) picture.setAttribute(key, value);
  path.setAttribute("d", SIGNS[name]);
  picture.append(path);
  return picture;
};

class ChatWindow extends HTMLElement {
  #parts = {};
  #shown = new Map();
  #pending = new Map();
  #unseen = 0;

  /** Build everything once. `language` and `theme` as the page says, either may be empty. */
  begin({ talk, kept, language, theme, told }) {
    Object.assign(this, { talk, kept, language, told });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    // A sheet that is made here is no inline style: the page's content security policy may be strict.
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [sheet];
    const parts = this.#parts;
    parts.badge = make("span", { class: "badge", hidden: "" });
    parts.words = make("span", { class: "words" });
    parts.launcher = make("button", { type: "button", class: "launcher", "aria-controls": "panel", "aria-expanded": "false" }, sign("chat"), parts.words, parts.badge);
    parts.title = make("h2", { id: "title" });
    parts.status = make("p", { class: "status", role: "status" });
    parts.close = make("button", { type: "button", class: "icon" }, sign("close"));
    parts.greeting = make("div", { class: "entry bot", dir: "auto" });
    parts.typist = make("span", { class: "name", dir: "auto" });
    // Said beside the log, once: in it, it would be read with every message.
    parts.typing = make("div", { class: "entry bot typing", "aria-hidden": "true", hidden: "" }, parts.typist, make("i"), make("i"), make("i"));
    parts.log = make("div", { class: "log", role: "log", "aria-live": "polite", tabindex: "0" }, parts.greeting, parts.typing);
    parts.below = make("button", { type: "button", class: "below", hidden: "" });
    parts.busy = make("p", { class: "sr", role: "status" });
    parts.banner = make("p", { class: "banner", role: "status", hidden: "" });
    parts.input = make("textarea", { id: "input", rows: "1", dir: "auto", enterkeyhint: "send", "aria-describedby": "count" });
    parts.label = make("label", { for: "input", class: "sr" });
    parts.send = make("button", { type: "submit", class: "icon send" }, sign("send"));
    parts.count = make("p", { id: "count", class: "count", role: "status" });
    parts.form = make("form", {}, parts.label, parts.input, parts.send);
    const head = make("header", {}, make("div", {}, parts.title, parts.status), parts.close);
    parts.panel = make("section", { id: "panel", class: "panel", role: "dialog", "aria-labelledby": "title", hidden: "" }, head, parts.log, parts.below, parts.busy, parts.banner, parts.form, parts.count);
    parts.root = make("div", { class: "root", role: "region", "data-theme": theme || "auto" }, parts.panel, parts.launcher);
    root.append(parts.root);
    this.#listen();
    this.dress({});
    parts.input.value = kept.tab.read().text || "";
    this.#measure();
    if (kept.tab.read().open) this.#show(true);
  }

  #listen() {
    const { launcher, close, panel, form, input, log, below } = this.#parts;
    log.addEventListener("scroll", () => { if (this.#atEnd()) this.#news(0); });
    below.addEventListener("click", () => { log.scrollTop = log.scrollHeight; input.focus(); });
    launcher.addEventListener("click", () => (panel.hidden ? this.open() : this.close()));
    close.addEventListener("click", () => this.close());
    panel.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || event.isComposing) return;
      event.stopPropagation();
      this.close();
    });
    form.addEventListener("submit", (event) => { event.preventDefault(); this.#send(); });
    input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#send();
    });
    input.addEventListener("input", () => this.#measure());
    log.addEventListener("click", (event) => { if (event.target.closest("button")) { this.talk.again(); input.focus(); } });
  }

  /** Take on the tenant's look (an answer of GetWidget, or {} before there is one). */
  dress(look) {
    this.look = look;
    const t = this.texts = textsIn(this.language, look.locale);
    const { root, title, status, close, greeting, log, label, send, words, input } = this.#parts;
    for (const [name, value] of [["--accent", look.accentColor], ["--on-accent", look.accentTextColor]]) {
      if (/^#[0-9a-f]{6}$/i.test(value)) root.style.setProperty(name, value);
    }
    root.lang = t.language;
    root.classList.toggle("left", look.position === "left");
    title.textContent = look.title || t.title;
    root.setAttribute("aria-label", title.textContent);
    close.setAttribute("aria-label", t.close);
    log.setAttribute("aria-label", t.log);
    label.textContent = input.placeholder = t.input;
    send.setAttribute("aria-label", t.send);
    words.textContent = look.launcherText || "";
    greeting.replaceChildren();
    addText(greeting, look.greeting || t.greeting, t.window);
    status.textContent = "";
    this.#shown.forEach(({ element }) => element.remove());
    this.#shown.clear();
    this.draw();
  }

  open() {
    if (this.#parts.panel.hidden) {
      this.#show(true);
      this.told("open");
    }
    this.#parts.input.focus();
  }

  close() {
    if (this.#parts.panel.hidden) return;
    this.#show(false);
    this.#parts.launcher.focus();
    this.told("close");
  }

  #show(open) {
    const { panel, launcher, log } = this.#parts;
    panel.hidden = !open;
    launcher.setAttribute("aria-expanded", `${open}`);
    this.talk.open = open;
    this.kept.tab.write({ ...this.kept.tab.read(), open });
    this.draw();
    if (open) {
      this.#measure();
      log.scrollTop = log.scrollHeight;
      this.talk.wake();
    }
  }

  #send() {
    const { input } = this.#parts;
    const text = input.value.trim();
    if (!text) return;
    input.value = "";
    this.#measure();
    this.talk.send(text);
    input.focus();
  }

  /** What is typed: kept, cut at the limit, counted near it; the field grows with it. */
  #measure() {
    const { input, count } = this.#parts;
    const whole = input.value;
    const text = cutText(whole, MOST_CHARACTERS);
    if (text !== whole) input.value = text;
    this.kept.tab.write({ ...this.kept.tab.read(), text });
    const left = MOST_CHARACTERS - text.length;
    const near = left < MOST_CHARACTERS / 5 ? filled(this.texts.left, left) : "";
    count.textContent = text === whole ? near : `${filled(this.texts.cut, MOST_CHARACTERS)} ${near}`;
    input.style.height = "auto";
    input.style.height = `${Math.min(input.scrollHeight + 2, 140)}px`;
  }

  /** Show what is. Entries that stand already are left alone, so that a screen reader says each once. */
  draw() {
    if (!this.texts) return;
    const { log, typing, typist, busy, banner, status, launcher, badge, panel } = this.#parts;
    const { talk, texts: t } = this;
    const atEnd = this.#atEnd();
    const before = log.childElementCount;
    this.#drawTranscript(log, typing);
    const own = this.#drawPending(log, typing);
    const added = log.childElementCount - before;

    const person = talk.person();
    const waits = Boolean(person) || talk.typing();
    const types = person ? filled(t.types, person.author || t.agent) : "";
    typing.hidden = !waits;
    typing.classList.toggle("person", Boolean(person));
    this.#say(typist, types);
    // Who pauses and goes on is not announced again before their message.
    if (!person?.announced) this.#say(busy, waits ? types || t.typing : "");
    if (person) person.announced = true;
    this.#say(status, { asked: t.asked, person: t.person }[talk.held] || "");
    this.#say(banner, talk.limited ? filled(t.limited, talk.limited) : talk.offline ? this.look.offlineText || t.offline : "");
    banner.hidden = !banner.textContent;
    if (!panel.hidden) talk.look();
    const unread = talk.unread();
    badge.hidden = !unread;
    badge.textContent = unread > 99 ? "99+" : unread || "";
    const name = panel.hidden ? t.open : t.close;
    const words = this.look.launcherText && panel.hidden ? `${this.look.launcherText}, ${name}` : name;
    launcher.setAttribute("aria-label", unread ? `${words}, ${filled(t.unread, unread)}` : words);
    // Who has just written looks at the end, wherever they were.
    if (own || (atEnd && (added > 0 || waits))) this.#toEnd(log);
    else if (added > 0) this.#news(this.#unseen + added);
  }

  #atEnd() {
    const { log } = this.#parts;
    return log.scrollHeight - log.scrollTop - log.clientHeight < 80;
  }

  /** So many entries came below what is looked at. */
  #news(count) {
    const { below } = this.#parts;
    this.#unseen = count;
    below.hidden = !count;
    below.textContent = count ? `↓ ${filled(this.texts.unread, count)}` : "";
  }

  /** A long answer is read from its beginning, anything else from the end. */
  #toEnd(log) {
    const newest = [...this.#shown.values()].at(-1)?.element;
    const long = newest && !this.#pending.size && !newest.matches(".you") && newest.offsetHeight > log.clientHeight - 40;
    log.scrollTop = long ? newest.offsetTop - log.offsetTop - 8 : log.scrollHeight;
  }

  #say(part, text) {
    if (part.textContent !== text) part.textContent = text;
  }

  #drawTranscript(log, typing) {
    const transcript = this.talk.transcript();
    const ids = new Set(transcript.map((message) => message.id));
    for (const [id, { element }] of this.#shown) {
      if (ids.has(id)) continue;
      element.remove();
      this.#shown.delete(id);
    }
    let before = this.#pending.values().next().value || typing;
    for (const message of transcript.reverse()) {
      let shown = this.#shown.get(message.id);
      if (!shown) {
        shown = { element: this.#entry(message) };
        this.#shown.set(message.id, shown);
        log.insertBefore(shown.element, before);
      }
      before = shown.element;
    }
    this.#shown = new Map([...this.#shown].sort(([one], [other]) => (one < other ? -1 : 1)));
  }

  #entry({ source, text, author, mediaKind }) {
    const { texts: t } = this;
    const kind = SPEAKERS[source] || "note";
    const element = make("div", { class: `entry ${kind}` });
    const name = kind === "agent" ? author || t.agent : t[kind];
    if (name) element.append(make("span", { class: kind === "agent" ? "name" : "sr", dir: "auto" }, kind === "agent" ? name : `${name}: `));
    const { disclaimer } = this.look;
    const ends = kind === "bot" && disclaimer && text.trimEnd().endsWith(`\n\n${disclaimer}`);
    const body = make("div", { class: "text", dir: "auto" });
    addText(body, (ends ? text.trimEnd().slice(0, -disclaimer.length) : text).trim() || (mediaKind && `[${mediaKind}]`) || "", t.window);
    element.append(body);
    if (ends) {
      const note = make("small", { class: "disclaimer", role: "note", dir: "auto" });
      addText(note, disclaimer, t.window);
      element.append(note);
    }
    return element;
  }

  /** What is not on the server yet, after everything that is. True where something was added. */
  #drawPending(log, typing) {
    const { talk, texts: t } = this;
    const waiting = talk.outbox.filter((message) => !message.shown);
    const ids = new Set(waiting.map((message) => message.id));
    let added = false;
    for (const [id, element] of this.#pending) {
      if (ids.has(id)) continue;
      element.remove();
      this.#pending.delete(id);
    }
    for (const message of waiting) {
      let element = this.#pending.get(message.id);
      if (!element) {
        const body = make("div", { class: "text", dir: "auto" });
        addText(body, message.text, t.window);
        element = make("div", { class: "entry you" }, make("span", { class: "sr" }, `${t.you}: `), body, make("div", { class: "state" }));
        this.#pending.set(message.id, element);
        log.insertBefore(element, typing);
        added = true;
      }
      const state = message.failed ? "failed" : talk.offline ? "queued" : "sending";
      if (element.dataset.state === state) continue;
      element.dataset.state = state;
      const line = element.lastElementChild;
      line.replaceChildren();
      if (state === "failed") line.append(`${t.unsent} `, make("button", { type: "button" }, t.again));
      if (state === "queued") line.append(t.queued);
    }
    return added;
  }
}
