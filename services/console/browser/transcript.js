// A conversation as it was said, in its order. Everything anybody wrote is text.
export default {
  template: `
    <div ref="talk" class="talk" role="log" tabindex="0" :aria-label="labels.talk">
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
          <div v-if="item.media" class="bubble-media">{{ labels.media.replace('{kind}', item.media) }}</div>
          <div class="bubble-foot" v-if="isLong(item) || item.delivery || (keeps && isAnswer(item))">
            <button v-if="isLong(item)" type="button" class="link-button" :aria-expanded="String(!!unfolded[item.id])"
              @click="unfolded[item.id] = !unfolded[item.id]">{{ unfolded[item.id] ? labels.less : labels.more }}</button>
            <button v-if="keeps && isAnswer(item)" type="button" class="link-button" @click="$emit('keep', item.id)">{{
              labels.keep }}</button>
            <span v-if="item.delivery" class="delivery" :class="item.delivery" :title="item.error">{{
              labels.deliveries[item.delivery] ?? item.delivery }}{{ item.error ? ': ' + item.error : '' }}</span>
          </div>
        </article>
      </template>
    </div>`,
  props: { messages: Array, labels: Object, locale: String, keeps: Boolean },
  emits: ["keep"],
  data() {
    return { items: [...this.messages], unfolded: {} };
  },
  mounted() {
    this.toEnd();
    // Times are written after this, and make it a little higher.
    setTimeout(() => this.$refs.talk && this.toEnd(), 150);
  },
  methods: {
    put(messages) {
      const box = this.$refs.talk;
      const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 80;
      for (const message of messages) {
        const at = this.items.findIndex((item) => item.id === message.id);
        if (at >= 0) this.items[at] = message;
        else this.items.push(message);
      }
      this.items.sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
      if (atEnd) this.$nextTick(this.toEnd);
    },
    toEnd() {
      this.$refs.talk.scrollTop = this.$refs.talk.scrollHeight;
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
