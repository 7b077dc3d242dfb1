"use strict";
(() => {
  const card = document.querySelector("#card");
  const people = document.querySelector("#people");
  const state = document.querySelector("#state");
  const words = {
    connecting: "connecting", live: "live: this card updates by itself", polling: "live, by asking the hub",
    waiting: "no connection; trying again", stopped: "no longer listening",
  };
  let expiry, listening;

  const text = (element) => element.textContent.replace(/\s+/g, " ").trim();

  // show puts a new card in the place of the old one and marks what is different.
  function show(html) {
    const before = new Map([...card.querySelectorAll("[data-fact]")].map((e) => [e.dataset.fact, text(e)]));
    card.innerHTML = html;
    for (const e of card.querySelectorAll("[data-fact]")) {
      if (before.size && before.get(e.dataset.fact) !== text(e)) e.classList.add("changed");
    }
    expire();
  }

  // expire asks anew when the copy's lifetime is over: it may not be shown for longer.
  function expire() {
    clearTimeout(expiry);
    const until = Date.parse(card.querySelector("[data-until]")?.dataset.until ?? "");
    if (until) expiry = setTimeout(() => refresh().catch(expire), Math.min(Math.max(until - Date.now(), 1000), 2 ** 31 - 1));
  }

  async function refresh() {
    const answer = await fetch(`/members/${card.dataset.id}/card`);
    if (!answer.ok) throw new Error("no card");
    show(await answer.text());
  }

  async function ticket() {
    const answer = await fetch(`/members/${card.dataset.id}/ticket`, { method: "POST" });
    if (!answer.ok) throw new Error("no ticket");
    return (await answer.json()).ticket;
  }

  function listen() {
    listening?.stop();
    listening = Tidings.live({
      ticket,
      notice: refresh,
      anew: refresh,
      state: (name) => { state.textContent = words[name]; state.dataset.state = name; },
    });
  }

  async function reloadPeople() {
    const answer = await fetch("/");
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    people.innerHTML = page.querySelector("#people").innerHTML;
  }

  // What the website received. Who shares again was not in the ticket of a page that listened since they had ended.
  const mail = document.querySelector("#mail");
  new EventSource("/received").onmessage = (message) => {
    const newest = mail.querySelector("[data-jti]")?.dataset.jti;
    mail.innerHTML = message.data;
    const letters = [...mail.querySelectorAll("[data-jti]")];
    const known = letters.findIndex((l) => l.dataset.jti === newest);
    const fresh = known < 0 ? letters : letters.slice(0, known);
    for (const l of fresh) l.classList.add("changed");
    if (people && fresh.length) reloadPeople();
    if (card && fresh.some((l) => l.dataset.joined === card.dataset.id)) listen();
  };

  if (card) {
    expire();
    listen();
  }
})();
