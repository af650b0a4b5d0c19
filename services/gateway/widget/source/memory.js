// What outlives a page. The conversation is the browser's (localStorage): all tabs share it. What is being typed and what is not sent
// yet are the tab's (sessionStorage). A browser that keeps nothing gets a memory for this page alone.

const shelf = (storage, name) => {
  let kept = {};
  return {
    name,
    read() {
      try {
        const text = storage().getItem(name);
        return text ? JSON.parse(text) || {} : text === null ? {} : kept;
      } catch {
        return kept;
      }
    },
    write(value) {
      kept = value;
      try {
        storage().setItem(name, JSON.stringify(value));
      } catch {
        // Full or forbidden: `kept` has it.
      }
    },
  };
};

const shelves = (key, user) => {
  const name = `metachat:${key}:${user}`;
  return {
    // {id, token, seen}
    conversation: shelf(() => localStorage, name),
    // The look as it was, so that the launcher need not wait for the server.
    look: shelf(() => localStorage, `metachat:${key}:look`),
    // {text, outbox: [{id, text, conversation}], open}
    tab: shelf(() => sessionStorage, `${name}:tab`),
  };
};

/** 32 hexadecimal digits that nobody guesses; works on pages without https, unlike crypto.randomUUID. */
const freshId = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
