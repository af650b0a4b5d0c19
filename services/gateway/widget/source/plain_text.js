// Messages are text, never markup: links are found in it, everything else stays as it is written.

// What the server takes is 16 KiB in UTF-8; one unit of a JavaScript string is at most three bytes there.
const MOST_CHARACTERS = 4000;

/** At most `most` units of the text, without half of a surrogate pair at the end. */
const cutText = (text, most) => {
  if (text.length <= most) return text;
  const last = text.charCodeAt(most - 1);
  return text.slice(0, last >= 0xd800 && last <= 0xdbff ? most - 1 : most);
};

/** The address without what belongs to the sentence around it. */
const bareAddress = (found) => {
  let address = found;
  for (;;) {
    const last = address.at(-1);
    const opening = { ")": "(", "]": "[", "}": "{" }[last];
    const unbalanced = opening && address.split(last).length > address.split(opening).length;
    if (!unbalanced && !/[.,;:!?'"*_~]/.test(last)) return address;
    address = address.slice(0, -1);
  }
};

/** An http(s) address as the browser reads it; null for any other, and for one that shows a false host before an "@". */
const safeAddress = (text) => {
  try {
    const url = new URL(text);
    return /^https?:$/.test(url.protocol) && !url.username && !url.password ? url.href : null;
  } catch {
    return null;
  }
};

/** Add the text to a node, line breaks kept by the style, links made to leave the page alone. */
const addText = (node, text, hint) => {
  let done = 0;
  for (const match of text.matchAll(/\bhttps?:\/\/[^\s<>"`\\]+/gi)) {
    const shown = bareAddress(match[0]);
    const href = safeAddress(shown);
    if (!href) continue;
    node.append(text.slice(done, match.index));
    const link = make("a", { href, target: "_blank", rel: "noopener noreferrer nofollow", title: hint }, shown);
    node.append(link);
    done = match.index + shown.length;
  }
  node.append(text.slice(done));
};

/** An element with attributes (null: left out) and children. */
const make = (name, attributes = {}, ...children) => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value !== null) element.setAttribute(key, value);
  element.append(...children);
  return element;
};
