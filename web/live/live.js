// Listens to a Tidings hub from a page.
//
//   const listening = Tidings.live({
//     ticket: async () => "…",            // asks the page's own server, which has it from POST /live/tickets
//     notice: async (subject) => { … },   // something about the subject changed: fetch it from the page's own server
//     anew: async () => { … },            // listening began, or began again with a gap: fetch everything
//     state: (name) => { … },             // "connecting", "live", "polling", "waiting" or "stopped"
//   });
//   listening.stop();
//
// Only ticket is required. Notices hold no values. A notice counts as taken when notice has returned; after a broken
// connection it comes again otherwise.
"use strict";
(() => {
  // The hub is where this script came from.
  const base = document.currentScript.src.replace(/\/live\.js(\?.*)?$/, "");

  const RECONNECT = 4000, SLOW = 4001, TICKET = 4002, GO_AWAY = 4500, CURSOR_EXPIRED = 4501;
  const FIRST_PAUSE = 500, LONGEST_PAUSE = 30_000; // milliseconds
  const SOCKET_TRIES = 2; // sockets in a row that never opened, before a long poll is tried

  class Listening {
    #options; #cursor = ""; #socket = null; #stopped = false; #abort = new AbortController();
    #failures = 0; #unopened = 0; #ticket = ""; #wake = () => {};

    constructor(options) {
      this.#options = options;
      addEventListener("online", () => this.#wake(), { signal: this.#abort.signal });
      this.#run();
    }

    stop() {
      if (this.#stopped) return;
      this.#stopped = true;
      this.#abort.abort();
      this.#socket?.close(1000);
      this.#wake();
      this.#tell("stopped");
    }

    #tell(state) { this.#options.state?.(state); }

    async #run() {
      while (!this.#stopped) {
        this.#tell("connecting");
        let again;
        try {
          // A ticket serves once; a long poll brings the next one along.
          const ticket = this.#ticket || await this.#options.ticket();
          this.#ticket = "";
          if (this.#stopped) return;
          const polls = typeof WebSocket === "undefined" || this.#unopened >= SOCKET_TRIES;
          again = polls ? await this.#poll(ticket) : await this.#listen(ticket);
        } catch {
          again = "pause";
        }
        if (this.#stopped) return;
        if (again === "stop") return this.stop();
        if (again === "anew") this.#cursor = "";
        if (again !== "now") await this.#pause();
      }
    }

    // Full jitter: browsers that lost one hub together do not come back together.
    #pause() {
      this.#tell("waiting");
      const longest = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** this.#failures++);
      return new Promise((done) => {
        const timer = setTimeout(done, Math.random() * longest);
        this.#wake = () => { clearTimeout(timer); done(); };
      });
    }

    // listen holds one socket until it closes, and says how to go on.
    #listen(ticket) {
      const socket = this.#socket = new WebSocket(this.#url(ticket).replace(/^http/, "ws"));
      let opened = false, taken = Promise.resolve();
      return new Promise((done) => {
        socket.onopen = () => { opened = true; this.#unopened = 0; };
        socket.onmessage = (message) => {
          // One after another, so that the cursor never runs ahead of what the page has taken.
          taken = taken.then(() => this.#take(JSON.parse(message.data), "live")).catch(() => socket.close());
        };
        socket.onclose = async (event) => {
          await taken;
          if (!opened) this.#unopened++;
          done(this.#after(event.code));
        };
      });
    }

    #after(code) {
      switch (code) {
        case TICKET: return this.#failures++ ? "pause" : "now";
        case GO_AWAY: return "stop";
        case CURSOR_EXPIRED: return "anew";
        case RECONNECT: case SLOW: return "pause";
      }
      return code >= 4500 && code < 5000 ? "stop" : "pause";
    }

    async #take(frame, state) {
      const began = this.#cursor === "";
      if (began) await this.#options.anew?.();
      if (frame.subject) await this.#options.notice?.(frame.subject);
      this.#cursor = frame.cursor;
      this.#failures = 0;
      if (state) this.#tell(state);
    }

    // poll asks once; the hub holds the answer back until there is something to tell.
    async #poll(ticket) {
      this.#tell("polling");
      const unopened = this.#unopened;
      this.#unopened = 0; // if the hub cannot be reached at all, a socket may do when it is back
      const answer = await fetch(this.#url(ticket), { signal: this.#abort.signal, credentials: "omit", cache: "no-store" });
      if (answer.status >= 500) return "pause";
      this.#unopened = unopened;
      if (answer.status === 400 || answer.status === 410) return "anew"; // the cursor is no good
      if (!answer.ok) return this.#after(TICKET);
      const { notices, cursor, ticket: next } = await answer.json();
      for (const notice of notices) await this.#take(notice);
      await this.#take({ cursor });
      this.#ticket = next ?? "";
      return "now";
    }

    #url(ticket) {
      const query = new URLSearchParams({ ticket });
      if (this.#cursor) query.set("cursor", this.#cursor);
      return `${base}/live?${query}`;
    }
  }

  globalThis.Tidings = Object.freeze({ live: (options) => new Listening(options) });
})();
