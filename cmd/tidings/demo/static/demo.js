"use strict";
(() => {
  const log = document.querySelector("#log");
  const state = document.querySelector("#log-state");
  const most = 200; // lines that stay on the page

  if (log) {
    const lines = new EventSource(`/demo/log?after=${log.dataset.after}`);
    lines.onopen = () => { state.textContent = "live"; state.dataset.state = "live"; };
    lines.onerror = () => { state.textContent = "no connection; trying again"; state.dataset.state = "waiting"; };
    lines.onmessage = (message) => {
      const holder = document.createElement("template");
      holder.innerHTML = message.data;
      const row = holder.content.querySelector("tr");
      if (document.getElementById(row.id)) return; // told twice
      row.classList.add("new");
      log.prepend(row);
      while (log.rows.length > most) log.deleteRow(-1);
    };
  }

  // The rest of the trail of an edit is asked for until it is complete, for a while.
  const trail = document.querySelector("#trail");
  let tries = 0;
  async function follow() {
    const at = trail.querySelector("[data-follow]")?.dataset.follow;
    if (!at || ++tries > 40) return;
    try {
      const answer = await fetch(at);
      if (answer.ok) trail.innerHTML = await answer.text();
    } catch { /* asked again below */ }
    setTimeout(follow, 250);
  }
  if (trail) setTimeout(follow, 100);
})();
