// A conversation as it was said, in its order. Everything anybody wrote is text.
const ICONS = {
  queued: "schedule",
  sent: "done",
  delivered: "done_all",
  read: "mark_chat_read",
  failed: "error",
  delivery_unknown: "help",
  cancelled: "block",
};
const FINDINGS = ["ARRIVED", "NOT_ARRIVED", "SEND_AGAIN"];

export default {
  template: `
    <div ref="talk" class="talk" role="log" tabindex="0" :aria-label="labels.talk" @scroll="looked">
      <p v-if="!items.length" class="quiet talk-empty">{{ labels.empty }}</p>
      <template v-for="(item, index) in items" :key="item.id">
        <div v-if="day(index)" class="talk-day"><time :datetime="item.at" data-moment="date" :lang="locale"></time></div>
        <article class="bubble" :class="['from-' + item.source, {withheld: item.withheld}]">
          <div class="bubble-by">
            <strong class="cut" :title="item.author">{{ item.author || labels.sources[item.source] }}</strong>
            <span v-if="item.author && item.source !== 'customer'" class="quiet">{{ labels.sources[item.source] }}</span>
            <span v-if="item.withheld" class="chip warn">{{ labels.withheld }}</span>
            <time :datetime="item.at" data-moment="time" :lang="locale"></time>
          </div>
          <div v-if="item.text" class="bubble-text" :class="{folded: isLong(item) && !unfolded[item.id]}">{{ item.text }}</div>
          <div v-if="item.media" class="bubble-media">{{ labels.media.replace('{kind}', () => item.media) }}</div>
          <div class="bubble-foot" v-if="isLong(item) || item.delivery || (keeps && isAnswer(item))">
            <button v-if="isLong(item)" type="button" class="link-button" :aria-expanded="String(!!unfolded[item.id])"
              @click="unfolded[item.id] = !unfolded[item.id]">{{ unfolded[item.id] ? labels.less : labels.more }}</button>
            <button v-if="keeps && isAnswer(item)" type="button" class="link-button" @click="$emit('keep', item.id)">{{
              labels.keep }}</button>
            <span v-if="item.delivery" class="way" :class="item.delivery" :title="item.error"><i
              class="q-icon material-icons" aria-hidden="true">{{ icon(item) }}</i><span class="delivery">{{
              labels.deliveries[item.delivery] ?? item.delivery }}</span></span>
          </div>
          <div v-if="item.why" class="bubble-why"><strong>{{ item.why }}</strong> {{ item.advice }}</div>
          <div v-if="item.delivery === 'delivery_unknown'" class="bubble-why unknown">
            {{ labels.unknown }}
            <div class="settle" role="group" :aria-label="labels.deliveries.delivery_unknown">
              <button v-for="finding in findings(item)" :key="finding" type="button" class="small-button"
                :disabled="settling[item.id]" @click="settle(item.id, finding)">{{ labels.findings[finding] }}</button>
            </div>
          </div>
        </article>
      </template>
      <p v-if="typist" class="talk-typing quiet"><span class="cut">{{ labels.typing.replace('{name}', () => typist) }}</span></p>
    </div>`,
  props: { messages: Array, labels: Object, locale: String, keeps: Boolean },
  emits: ["keep", "settle"],
  data() {
    return { items: [...this.messages], unfolded: {}, settling: {}, typist: "", held: false };
  },
  mounted() {
    this.atEnd = true;
    this.toEnd();
    // What is written beneath takes room from above: who reads the end stays there.
    this.room = new ResizeObserver(() => this.atEnd && this.toEnd());
    this.room.observe(this.$refs.talk);
    // Times are written after this, and make it a little higher.
    setTimeout(() => this.atEnd && this.toEnd(), 150);
  },
  beforeUnmount() {
    clearTimeout(this.quiet);
    this.room.disconnect();
  },
  methods: {
    looked() {
      const box = this.$refs.talk;
      this.atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 80;
    },
    put(messages) {
      this.keepEnd(() => {
        for (const message of messages) {
          const at = this.items.findIndex((item) => item.id === message.id);
          if (at >= 0) this.items[at] = message;
          else {
            this.items.push(message);
            if (message.author === this.typist) this.typist = "";
          }
          delete this.settling[message.id];
        }
        this.items.sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
      });
    },
    // Somebody types, for so many milliseconds unless it is said again.
    typing(name, lasts) {
      clearTimeout(this.quiet);
      this.keepEnd(() => (this.typist = name));
      this.quiet = setTimeout(() => (this.typist = ""), lasts);
    },
    settle(id, finding) {
      this.settling[id] = true;
      // Where it is refused the message stays as it is, and can be settled after all.
      setTimeout(() => delete this.settling[id], 3000);
      this.$emit("settle", id, finding);
    },
    keepEnd(change) {
      change();
      if (this.atEnd) this.$nextTick(this.toEnd);
    },
    toEnd() {
      if (!this.$refs.talk) return;
      this.$refs.talk.scrollTop = this.$refs.talk.scrollHeight;
    },
    // Whether a person has the conversation: then no reply of the assistant is sent again.
    hold(held) {
      this.held = held;
    },
    findings(item) {
      return FINDINGS.filter((each) => each !== "SEND_AGAIN" || !this.held || item.source !== "assistant");
    },
    icon(item) {
      return ICONS[item.delivery] ?? "schedule";
    },
    isLong(item) {
      return item.text.length > 1500 || item.text.split("\n").length > 25;
    },
    isAnswer(item) {
      return item.source.startsWith("human") && item.text;
    },
    day(index) {
      const of = (item) => new Date(item.at).toDateString();
      return index === 0 || of(this.items[index]) !== of(this.items[index - 1]);
    },
  },
};
