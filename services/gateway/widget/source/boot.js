// Reads the script tag, asks for the look, puts the window into the page and answers what the page asks.

const started = () => {
  const tag = document.currentScript || document.querySelector('script[data-key][src*="widget.js"]');
  const key = tag?.dataset.key || "";
  if (!key) {
    console.error("MetaChat: the script tag needs data-key, a public key of the tenant");
    return;
  }
  if (customElements.get("meta-chat")) return;
  customElements.define("meta-chat", ChatWindow);

  const listeners = {};
  const told = (name, detail = {}) => {
    for (const listener of listeners[name] || []) {
      try {
        listener(detail);
      } catch (error) {
        console.error(error);
      }
    }
  };
  const user = tag.dataset.userId || "";
  const kept = shelves(key, user);
  const gateway = new Gateway(new URL("./", tag.src), key);
  const element = document.createElement("meta-chat");
  let wanted = null;

  window.MetaChat = {
    open() {
      if (element.talk) element.open();
      else wanted = true;
    },
    close() {
      if (element.talk) element.close();
      else wanted = false;
    },
    on(name, listener) {
      (listeners[name] ||= new Set()).add(listener);
      return () => listeners[name].delete(listener);
    },
  };

  const appear = () => {
    if (element.talk) return;
    const talk = new Talk(gateway, kept, user, () => element.draw(), told);
    element.begin({ talk, kept, told, language: tag.dataset.lang || document.documentElement.lang, theme: tag.dataset.theme });
    document.body.append(element);
    talk.start();
    told("ready");
    if (wanted) element.open();
  };

  const dress = async () => {
    const known = kept.look.read();
    if (known.accentColor) {
      appear();
      element.dress(known);
    }
    let said = false;
    for (let pause = 1; ; pause = Math.min(300, pause * 2)) {
      try {
        const look = await gateway.look();
        kept.look.write(look);
        appear();
        if (JSON.stringify(look) !== JSON.stringify(known)) element.dress(look);
        return;
      } catch (error) {
        // A refusal of this page is not readable to it: the gateway answers, only not us.
        const refused = [400, 401, 403].includes(error.status) || (!error.status && (await gateway.answers()));
        if (!refused) {
          appear();
        } else if (!said) {
          said = true;
          console.error("MetaChat: refused. Is the key in data-key valid, and is this page's origin among its allowed origins?", location.origin);
          told("error", { code: "REFUSED", message: "the key is not valid here" });
        }
        await new Promise((resolve) => { setTimeout(resolve, 1000 * jitter(Math.max(error.wait || 0, pause))); });
      }
    }
  };

  const begin = () => {
    window.dispatchEvent(new Event("metachat:loaded"));
    dress();
  };
  if (document.body) begin();
  else addEventListener("DOMContentLoaded", begin);
};

started();
