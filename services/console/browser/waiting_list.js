// The waiting list: many rows of one height, of which only those in view are in the page. Texts are text.
const HEIGHT = 92;
const SPARE = 6;
const FILTERS = ["waiting", "mine", "others", "all"];
const SOUND = "metachat:sound";

export default {
  template: `
    <section class="waiting" :aria-label="labels.list">
      <div class="waiting-head">
        <div class="waiting-filters" role="group" :aria-label="labels.show">
          <button v-for="name in filters" :key="name" type="button" :aria-pressed="String(filter === name)"
            @click="choose(name)">{{ labels.filters[name] }} <span class="tally" :title="counts[name]">{{ tally(counts[name]) }}</span></button>
        </div>
        <div class="waiting-tools">
          <input ref="search" v-model="query" type="search" class="waiting-search" :placeholder="labels.search"
            :aria-label="labels.search" maxlength="200">
          <button type="button" class="icon-button" :aria-pressed="String(sound)" :aria-label="labels.sound"
            :title="labels.sound" @click="toggleSound"><i class="q-icon material-icons" aria-hidden="true">{{
            sound ? 'notifications_active' : 'notifications_off' }}</i></button>
          <button type="button" class="icon-button" :aria-label="labels.help" :title="labels.help"
            @click="$emit('help')"><i class="q-icon material-icons" aria-hidden="true">keyboard</i></button>
        </div>
      </div>
      <p v-if="!shown.length" class="waiting-empty">{{ query ? labels.nothing_found : labels.empty[filter] }}</p>
      <div v-show="shown.length" ref="scroller" class="waiting-scroll" role="listbox" tabindex="0"
        :aria-label="labels.list" :aria-activedescendant="active" @scroll="scrolled" @keydown="arrows">
        <div class="waiting-whole" role="presentation" :style="{height: shown.length * height + 'px'}">
          <div v-for="row in inView" :key="row.id" :id="'waiting-' + row.id" role="option" class="waiting-row"
            :class="{current: row.id === current, opened: row.id === opened}" :aria-selected="String(row.id === opened)"
            :aria-posinset="row.place + 1" :aria-setsize="shown.length"
            :style="{transform: 'translateY(' + row.place * height + 'px)'}" @click="open(row.id)">
            <div class="waiting-line">
              <span class="waiting-name cut" :title="row.name">{{ row.name }}</span>
              <span class="waiting-age" :title="full(row.since)">{{ age(row) }}</span>
            </div>
            <div class="waiting-text cut">{{ row.text || labels.no_text }}</div>
            <div class="waiting-line marks">
              <span class="chip" :class="{bad: row.stakes}">{{ row.stakes ? labels.stakes : reason(row) }}</span>
              <span v-if="windowLeft(row)" class="chip" :class="windowClass(row)">{{ windowLeft(row) }}</span>
              <span v-if="row.holder" class="chip plain cut" :title="row.holder">{{
                row.mine ? labels.you : row.holder }}</span>
              <span v-if="row.score !== null" class="waiting-score" :title="labels.score">{{ percent(row.score) }}</span>
            </div>
          </div>
        </div>
      </div>
      <p class="visually-hidden" role="status">{{ told }}</p>
    </section>`,
  props: { rows: Array, labels: Object, locale: String, start: String },
  emits: ["open", "act", "help"],
  data() {
    return {
      byId: Object.fromEntries(this.rows.map((row) => [row.id, row])),
      filter: "waiting",
      query: "",
      opened: this.start,
      current: this.start,
      scrollTop: 0,
      room: 800,
      now: Date.now(),
      sound: false,
      told: "",
      filters: FILTERS,
      height: HEIGHT,
    };
  },
  computed: {
    counts() {
      const counts = { waiting: 0, mine: 0, others: 0, all: 0 };
      for (const row of Object.values(this.byId)) {
        counts.all += 1;
        counts[this.kind(row)] += 1;
      }
      return counts;
    },
    shown() {
      const wanted = this.query.trim().toLocaleLowerCase(this.locale);
      return Object.values(this.byId)
        .filter((row) => this.filter === "all" || this.kind(row) === this.filter)
        .filter((row) => !wanted || `${row.name} ${row.text} ${row.holder}`.toLocaleLowerCase(this.locale).includes(wanted))
        .sort((a, b) => b.rank - a.rank || (a.id < b.id ? -1 : 1));
    },
    inView() {
      const first = Math.max(0, Math.floor(this.scrollTop / HEIGHT) - SPARE);
      const last = Math.ceil((this.scrollTop + this.room) / HEIGHT) + SPARE;
      return this.shown.slice(first, last).map((row, index) => ({ ...row, place: first + index }));
    },
    active() {
      return this.inView.some((row) => row.id === this.current) ? `waiting-${this.current}` : null;
    },
  },
  mounted() {
    this.sound = localStorage.getItem(SOUND) === "1";
    this.title = document.title;
    this.fresh = new Set();
    this.measure = new ResizeObserver(() => (this.room = this.$refs.scroller?.clientHeight || this.room));
    this.measure.observe(this.$refs.scroller);
    this.clock = setInterval(() => (this.now = Date.now()), 15000);
    this.seen = () => {
      if (document.visibilityState === "visible" && this.fresh.size) {
        this.fresh.clear();
        document.title = this.title;
      }
    };
    for (const name of ["pointerdown", "keydown", "focus"]) window.addEventListener(name, this.seen, true);
    document.addEventListener("keydown", this.keys);
  },
  beforeUnmount() {
    this.measure.disconnect();
    clearInterval(this.clock);
    for (const name of ["pointerdown", "keydown", "focus"]) window.removeEventListener(name, this.seen, true);
    document.removeEventListener("keydown", this.keys);
  },
  methods: {
    // What changed, from the server.
    apply(rows, gone, fresh) {
      for (const row of rows) this.byId[row.id] = row;
      for (const id of gone) delete this.byId[id];
      if (!fresh.length) return;
      this.now = Date.now();
      fresh.forEach((id) => this.fresh.add(id));
      document.title = `(${this.fresh.size}) ${this.title}`;
      this.told = this.labels.arrived.replace("{name}", () => this.byId[fresh[0]]?.name ?? "");
      if (this.sound) this.ring();
    },
    show(id) {
      this.opened = id;
      if (id) this.current = id;
    },
    kind(row) {
      return row.holder ? (row.mine ? "mine" : "others") : "waiting";
    },
    choose(name) {
      this.filter = name;
      this.$refs.scroller.scrollTop = 0;
    },
    open(id) {
      this.show(id);
      this.$emit("open", id);
    },
    move(step) {
      const at = this.shown.findIndex((row) => row.id === this.current);
      const to = Math.min(Math.max(at < 0 ? (step > 0 ? 0 : this.shown.length - 1) : at + step, 0), this.shown.length - 1);
      const row = this.shown[to];
      if (!row) return;
      this.current = row.id;
      const box = this.$refs.scroller;
      if (to * HEIGHT < box.scrollTop) box.scrollTop = to * HEIGHT;
      else if ((to + 1) * HEIGHT > box.scrollTop + box.clientHeight) box.scrollTop = (to + 1) * HEIGHT - box.clientHeight;
    },
    scrolled(event) {
      this.scrollTop = event.target.scrollTop;
    },
    arrows(event) {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      this.move(step);
    },
    keys(event) {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      if (document.querySelector(".q-dialog")) return;
      const target = event.target;
      if (target.closest?.("input, textarea, select, [contenteditable=true]")) {
        if (event.key === "Escape") target.blur();
        return;
      }
      const does = {
        j: () => this.move(1),
        k: () => this.move(-1),
        "/": () => this.$refs.search.focus(),
        "?": () => this.$emit("help"),
        c: () => this.$emit("act", "claim"),
        r: () => this.$emit("act", "reply"),
      }[event.key];
      if (does) {
        event.preventDefault();
        does();
      } else if (event.key === "Enter" && this.byId[this.current] && !target.closest("button, a, summary")) {
        event.preventDefault();
        this.open(this.current);
      }
    },
    toggleSound() {
      this.sound = !this.sound;
      localStorage.setItem(SOUND, this.sound ? "1" : "0");
      if (this.sound) this.ring();
    },
    // Two soft tones; made here, so that no file is loaded.
    ring() {
      const audio = (this.audio ??= new AudioContext());
      audio.resume().then(() => {
        [660, 880].forEach((frequency, index) => {
          const tone = audio.createOscillator();
          const volume = audio.createGain();
          const at = audio.currentTime + index * 0.15;
          tone.frequency.value = frequency;
          volume.gain.setValueAtTime(0.08, at);
          volume.gain.exponentialRampToValueAtTime(0.001, at + 0.3);
          tone.connect(volume).connect(audio.destination);
          tone.start(at);
          tone.stop(at + 0.3);
        });
      });
    },
    span(seconds) {
      const [unit, size] = seconds < 3600 ? ["minute", 60] : seconds < 2 * 86400 ? ["hour", 3600] : ["day", 86400];
      return new Intl.NumberFormat(this.locale, { style: "unit", unit, unitDisplay: "short" }).format(
        Math.max(0, Math.floor(seconds / size)),
      );
    },
    age(row) {
      return this.span((this.now - row.since) / 1000);
    },
    full(at) {
      return new Intl.DateTimeFormat(this.locale, { dateStyle: "full", timeStyle: "long" }).format(at);
    },
    windowLeft(row) {
      if (!row.windowEnds) return "";
      const left = (row.windowEnds - this.now) / 1000;
      return left > 0 ? this.labels.window.replace("{time}", this.span(left)) : this.labels.window_closed;
    },
    windowClass(row) {
      const hours = (row.windowEnds - this.now) / 3600000;
      return hours <= 2 ? "bad" : hours <= 6 ? "warn" : "plain";
    },
    reason(row) {
      return this.labels.reasons[row.reason] ?? row.reason;
    },
    // Short from ten thousand on.
    tally(count) {
      return new Intl.NumberFormat(this.locale, count < 10000 ? {} : { notation: "compact" }).format(count);
    },
    percent(score) {
      return new Intl.NumberFormat(this.locale, { style: "percent" }).format(score);
    },
  },
};
