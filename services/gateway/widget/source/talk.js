// One conversation: what was said (the server's transcript, by id), what is not sent yet, and who answers. Knows nothing of the page.

const PAUSES = [0.5, 1, 2, 4];
const LONGEST_PAUSE = 10;
const POLL_SECONDS = 3;
const HIDDEN_POLL_SECONDS = 20;
// A stream that ends sooner, so many times in a row, is cut by something between: polling then, and another try later.
const SHORT_LIFE_SECONDS = 5;
const SHORT_LIVES = 3;
const POLLING_MINUTES = 2;
const ANSWER_SECONDS = 60;
// No server says so long of one who types; whatever it says, it passes.
const LONGEST_TYPING = 30;

const jitter = (seconds) => seconds * (0.75 + Math.random() / 2);

class Talk {
  /** `changed` is called after every change; `told(name, detail)` with what pages may want to know. */
  constructor(gateway, kept, user, changed, told) {
    Object.assign(this, { gateway, kept, user, changed, told });
    this.messages = new Map();
    this.last = "";
    this.lastAt = 0;
    this.held = "";
    this.holder = "";
    this.typist = null;
    this.limited = 0;
    this.offline = !navigator.onLine;
    this.open = false;
    this.streaming = true;
    this.sending = false;
    this.wakers = new Set();
    const { id, token, seen } = kept.conversation.read();
    this.conversation = id && token ? { id, token } : null;
    // What was said before this page came is no news.
    this.loaded = !this.conversation;
    this.seen = seen || "";
    this.outbox = kept.tab.read().outbox || [];
  }

  start() {
    addEventListener("online", () => { this.#reached(); this.#anew(); });
    addEventListener("offline", () => { this.offline = true; this.changed(); });
    addEventListener("storage", (event) => { if (event.key === this.kept.conversation.name) this.#adopt(); });
    document.addEventListener("visibilitychange", () => this.#anew());
    this.#follow();
    this.#pump();
  }

  /** Something happened that ends pauses: the window was opened, the customer wrote. */
  wake() {
    this.#expire();
    this.wakers.forEach((waker) => waker());
    this.#pump();
  }

  /** What was connected may be so no longer, or need not be. */
  #anew() {
    this.stream?.abort();
    this.wake();
  }

  #pause(seconds) {
    return new Promise((resolve) => {
      const done = () => { clearTimeout(timer); this.wakers.delete(done); resolve(); };
      const timer = setTimeout(done, seconds * 1000);
      this.wakers.add(done);
    });
  }

  // ---- Sending: one after the other, each under one id for all its tries, so that none is answered twice.

  send(text) {
    this.outbox.forEach((message) => { message.failed = false; });
    this.outbox.push({ id: freshId(), text, after: this.last });
    this.#keepOutbox();
    this.told("message", { from: "you", text });
    this.wake();
  }

  again() {
    this.outbox.forEach((message) => { message.failed = false; });
    this.changed();
    this.wake();
  }

  #keepOutbox() {
    this.kept.tab.write({ ...this.kept.tab.read(), outbox: this.outbox.map(({ id, text, after }) => ({ id, text, after })) });
    this.changed();
  }

  async #pump() {
    if (this.sending) return;
    this.sending = true;
    while (this.outbox.length && !this.outbox[0].failed) {
      const message = this.outbox[0];
      this.changed();
      // Two tabs that begin at once begin one conversation, not two.
      const deliver = () => this.#deliver(message);
      const sent = await (navigator.locks?.request(this.kept.conversation.name, deliver).catch(deliver) ?? deliver());
      if (sent) this.outbox.shift();
      else this.outbox.forEach((waiting) => Object.assign(waiting, { failed: true, lost: message.lost }));
      this.#keepOutbox();
    }
    this.sending = false;
    this.changed();
  }

  async #deliver(message) {
    for (let tries = 0; ; tries += 1) {
      this.#adopt();
      const { id, token } = this.conversation || {};
      try {
        if (!navigator.onLine) await this.#pause(LONGEST_PAUSE);
        await this.#answered(await this.gateway.chat({
          message: message.text,
          messageId: message.id,
          ...(id && { conversationId: id, conversationToken: token }),
          ...(this.user && { userId: this.user }),
        }));
        return true;
      } catch (error) {
        if (error.status === 404 && id) {
          // Without a conversation this comes once: the next try begins a new one.
          if (this.conversation?.id === id) this.#forget();
          continue;
        }
        const passing = !error.status || error.status === 408 || error.status === 429 || error.status >= 500;
        if (!passing || tries >= PAUSES.length) {
          this.told("error", { code: error.code, message: error.message });
          message.lost = passing;
          return false;
        }
        await this.#waitAfter(error, tries);
      }
    }
  }

  async #waitAfter(error, tries) {
    if (!error.status) this.offline = true;
    const until = Date.now() + 1000 * Math.min(error.wait || jitter(PAUSES[tries]), 120);
    const limited = error.status === 429;
    do {
      this.limited = limited ? Math.ceil((until - Date.now()) / 1000) : 0;
      this.changed();
      await this.#pause(Math.min(limited ? 1 : 120, Math.max(0, until - Date.now()) / 1000));
      // What was said of the limit holds whatever else happens.
    } while (limited && Date.now() < until);
    this.limited = 0;
  }

  /** Everything is shown from the transcript, the answer too: it has its place and its id there. */
  async #answered(answer) {
    this.#reached();
    if (answer.conversationId !== this.conversation?.id) {
      this.#clear();
      this.conversation = { id: answer.conversationId, token: answer.conversationToken };
      this.#keep();
      this.wakers.forEach((waker) => waker());
    }
    const { handledBy, confidenceEscalation: judged } = answer.metadata || {};
    try {
      await this.#sync();
      if (handledBy === "human" || judged?.escalated || this.held) this.#state(await this.gateway.status(this.conversation));
    } catch {
      // It is sent all the same; whoever follows the conversation brings the answer.
    }
  }

  // ---- The conversation: shared by all tabs.

  #keep() {
    this.kept.conversation.write(this.conversation ? { ...this.conversation, seen: this.seen } : {});
  }

  /** Take over what another tab has begun. */
  #adopt() {
    const { id, token, seen } = this.kept.conversation.read();
    if (seen > this.seen) this.seen = seen;
    if (id && token && id !== this.conversation?.id) {
      this.#clear();
      this.conversation = { id, token };
      this.wakers.forEach((waker) => waker());
      this.stream?.abort();
    }
    this.changed();
  }

  #clear() {
    this.messages.clear();
    this.last = "";
    this.lastAt = 0;
    this.typist = null;
    this.#hold("");
  }

  /** The conversation is no longer there (removed, or its token is from before a change of keys). */
  #forget() {
    this.conversation = null;
    this.seen = "";
    this.#clear();
    this.#keep();
    this.changed();
  }

  #hold(held) {
    if (held === this.held) return;
    this.held = held;
    this.told("status", { handledBy: held ? "human" : "assistant", waiting: held === "asked" });
    this.changed();
  }

  #reached() {
    const back = this.offline;
    this.offline = !navigator.onLine;
    if (!back || this.offline) return;
    this.outbox.forEach((message) => { if (message.lost) message.failed = message.lost = false; });
    this.changed();
    this.#pump();
  }

  // ---- Reading: everything after the last message by id, so that nothing is missed and nothing comes twice.

  #take(message) {
    if (this.messages.has(message.id) || message.withheld) return;
    this.messages.set(message.id, message);
    if (message.id > this.last) {
      this.last = message.id;
      // The clocks of both sides may differ: theirs counts only for what was said before we came.
      this.lastAt = (!this.loaded && Date.parse(message.createdAt)) || Date.now();
    }
    if (message.source === "CUSTOMER") {
      const own = this.outbox.find((waiting) => !waiting.shown && waiting.text === message.text && message.id > (waiting.after || ""));
      if (own) own.shown = true;
      setTimeout(this.changed, (ANSWER_SECONDS + 1) * 1000);
      this.changed();
      return;
    }
    // Their message is there, or the word that they have left.
    this.typist = null;
    if (this.loaded) {
      this.told("message", { from: SPEAKERS[message.source] || "note", text: message.text });
    }
    this.changed();
  }

  async #sync() {
    const conversation = this.conversation;
    for (let more = true; more && conversation === this.conversation;) {
      const page = await this.gateway.messages(conversation, this.last);
      if (conversation !== this.conversation) return;
      (page.messages || []).forEach((message) => this.#take(message));
      more = page.more && page.messages.length > 0;
    }
    this.loaded = true;
    this.#reached();
  }

  #state({ status, assignedTo }) {
    const holder = (status === "ASSIGNED_HUMAN" && assignedTo) || "";
    if (holder !== this.holder) this.typist = null;
    this.holder = holder;
    this.#hold(status === "ASSIGNED_HUMAN" ? (holder ? "person" : "asked") : "");
  }

  /** Somebody types for so long ("6s"), unless it is said again. */
  #types({ author, lasts }) {
    const seconds = Math.min(parseFloat(lasts) || 0, LONGEST_TYPING);
    const before = this.typist;
    const announced = before && before.author === author && before.announced;
    this.typist = { author, announced, until: Date.now() + 1000 * seconds };
    this.#expire();
  }

  /** Nobody looks at a closed window: there it is only remembered. */
  #expire() {
    clearTimeout(this.expiry);
    if (!this.typist || !this.open) return;
    this.changed();
    this.expiry = setTimeout(this.changed, this.typist.until - Date.now() + 50);
  }

  async #follow() {
    let failures = 0;
    let shortLives = 0;
    for (let first = true; ;) {
      const conversation = this.conversation;
      const near = this.open || this.held;
      if (!conversation || !(first || near)) {
        await this.#pause(3600);
        continue;
      }
      const began = Date.now();
      const short = () => Date.now() - began < SHORT_LIFE_SECONDS * 1000;
      this.stream = null;
      this.streamed = false;
      try {
        await this.#sync();
        if (document.hidden || !this.streaming || !near) {
          this.#state(await this.gateway.status(conversation));
          first = false;
          await this.#pause(document.hidden ? HIDDEN_POLL_SECONDS : POLL_SECONDS);
        } else {
          first = false;
          await this.#stream(conversation);
          shortLives = short() ? shortLives + 1 : 0;
          await this.#pause(jitter(0.5));
        }
        failures = 0;
      } catch (error) {
        if (this.conversation !== conversation || this.stream?.signal.aborted) continue;
        if (error.status === 404) {
          this.#forget();
          continue;
        }
        if (error.code === "SILENT") shortLives += 1;
        else if (this.streamed) shortLives = short() ? shortLives + 1 : 0;
        else if (!error.status) this.offline = true;
        failures = this.streamed ? 1 : failures + 1;
        this.changed();
        await this.#pause(Math.max(error.wait || 0, jitter(Math.min(LONGEST_PAUSE, 0.5 * 2 ** failures))));
      }
      if (shortLives >= SHORT_LIVES) {
        shortLives = 0;
        this.streaming = false;
        setTimeout(() => { this.streaming = true; }, POLLING_MINUTES * 60_000);
      }
    }
  }

  async #stream(conversation) {
    this.stream = new AbortController();
    await this.gateway.watch(conversation, this.last, this.stream.signal, (update) => {
      this.streamed = true;
      this.#reached();
      if (conversation !== this.conversation) return;
      if (update.conversation) this.#state(update.conversation);
      if (update.message) this.#take(update.message);
      if (update.typing) this.#types(update.typing);
    });
  }

  // ---- What a window shows.

  /** The messages in their order. */
  transcript() {
    return [...this.messages.values()].sort((one, other) => (one.id < other.id ? -1 : 1));
  }

  /** Whether an answer is on its way: nothing of it is known before it is judged. */
  typing() {
    if (this.held || this.limited || this.offline) return false;
    if (this.outbox.some((message) => !message.failed)) return this.sending;
    return this.messages.get(this.last)?.source === "CUSTOMER" && Date.now() - this.lastAt < ANSWER_SECONDS * 1000;
  }

  /** The person who is seen to type now ({author, announced}), or null. */
  person() {
    return this.open && !this.offline && this.typist && Date.now() < this.typist.until ? this.typist : null;
  }

  unread() {
    return [...this.messages.values()].filter((message) => message.source !== "CUSTOMER" && message.id > this.seen).length;
  }

  /** Everything up to here has been seen. */
  look() {
    if (this.last <= this.seen) return;
    this.seen = this.last;
    this.#keep();
  }
}

const SPEAKERS = { CUSTOMER: "you", AI_AGENT: "bot", HUMAN_AGENT_ON_BEHALF_OF_AI_AGENT: "agent", HUMAN_AGENT: "agent" };
