// Calls to the gateway. EventSource cannot carry a bearer token: streams are read with fetch.

const CALL_SECONDS = 60;
// A server that streams says something at once, then at least every 15 s.
const FIRST_WORD_SECONDS = 8;
const SILENCE_SECONDS = 40;

/** An answer that is an error (`status`, `code`, `wait` in seconds or 0), or none at all (`status` 0). */
class Refusal extends Error {
  constructor(status, code, message, wait) {
    super(message);
    Object.assign(this, { status, code, wait });
  }
}

class Gateway {
  constructor(base, key) {
    this.base = base;
    this.key = key;
  }

  async #fetch(path, options, seconds) {
    const stop = new AbortController();
    const give = () => stop.abort();
    options.signal?.addEventListener("abort", give);
    const timer = setTimeout(give, seconds * 1000);
    try {
      const answer = await fetch(new URL(path, this.base), {
        cache: "no-store",
        credentials: "omit",
        // On the gateway's own pages a GET carries no Origin; the referrer says where it comes from.
        referrerPolicy: "origin",
        ...options,
        signal: stop.signal,
        headers: { authorization: `Bearer ${this.key}`, ...options.headers },
      });
      if (answer.ok) return answer;
      const { error = {} } = await answer.json().catch(() => ({}));
      const wait = Number(answer.headers.get("retry-after")) || 0;
      throw new Refusal(answer.status, error.code || "", error.message || `${answer.status}`, wait);
    } catch (error) {
      throw error instanceof Refusal ? error : new Refusal(0, "", `${error}`, 0);
    } finally {
      clearTimeout(timer);
    }
  }

  async #json(path, options = {}) {
    const answer = await this.#fetch(path, options, CALL_SECONDS);
    try {
      return await answer.json();
    } catch (error) {
      throw new Refusal(0, "", `${error}`, 0);
    }
  }

  look() {
    return this.#json("api/widget");
  }

  chat(body) {
    return this.#json("api/chat", { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } });
  }

  #of(conversation, rest, after) {
    const query = new URLSearchParams({ conversationToken: conversation.token });
    if (after) query.set("after", after);
    return `api/conversations/${encodeURIComponent(conversation.id)}${rest}?${query}`;
  }

  status(conversation) {
    return this.#json(this.#of(conversation, ""));
  }

  messages(conversation, after) {
    return this.#json(this.#of(conversation, "/messages", after));
  }

  /** Whether the gateway answers anybody at all: its own script is open to every page. */
  async answers() {
    try {
      return (await fetch(new URL("widget.js", this.base), { method: "HEAD", cache: "no-store", credentials: "omit" })).ok;
    } catch {
      return false;
    }
  }

  /** Hand each update over until the stream ends or `signal` stops it. Throws a Refusal; code "SILENT" for a stream that says nothing. */
  async watch(conversation, after, signal, hand) {
    const stop = new AbortController();
    const give = () => stop.abort();
    signal.addEventListener("abort", give);
    let silent = false;
    let timer;
    const expect = (seconds) => {
      clearTimeout(timer);
      timer = setTimeout(() => { silent = true; give(); }, seconds * 1000);
    };
    try {
      const headers = { accept: "text/event-stream", ...(after ? { "last-event-id": after } : {}) };
      const path = this.#of(conversation, "/events", after);
      expect(FIRST_WORD_SECONDS);
      const answer = await this.#fetch(path, { headers, signal: stop.signal }, CALL_SECONDS);
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        expect(SILENCE_SECONDS);
        const parts = (rest + value).split(/\r?\n\r?\n/);
        rest = parts.pop();
        for (const part of parts) this.#event(part, hand);
      }
    } catch (error) {
      if (silent) throw new Refusal(0, "SILENT", "the stream says nothing", 0);
      if (error instanceof Refusal) throw error;
      throw new Refusal(0, "", `${error}`, 0);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", give);
      give();
    }
  }

  #event(part, hand) {
    let kind = "";
    let data = "";
    for (const line of part.split(/\r?\n/)) {
      if (line.startsWith("event:")) kind = line.slice(6).trim();
      if (line.startsWith("data:")) data += line.slice(5);
    }
    if (!data) return;
    const content = JSON.parse(data);
    if (kind !== "error") {
      hand(content);
      return;
    }
    const status = { NOT_FOUND: 404, UNAUTHENTICATED: 401, PERMISSION_DENIED: 403 }[content.error.code] || 503;
    throw new Refusal(status, content.error.code, content.error.message, 0);
  }
}
