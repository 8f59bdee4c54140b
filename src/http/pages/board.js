// Keeps the board up to date: on each event of the server it takes the page anew and swaps the parts that differ. All of
// it is rendered by the server. Without this script the page says how old it is and has a link to reload.
"use strict";
(() => {
  const main = document.querySelector("main[data-live]");
  if (!main || !window.EventSource) return;
  const connection = document.getElementById("connection");
  const AT_MOST_EVERY = 1000; // ms between two fetches
  const LONGEST_PAUSE = 60000;
  const RETRY = 5000;
  let source = null;
  let retry = 0; // the timer of the next connection
  let pause = 2000;
  let wanted = false; // something changed since the last fetch
  let busy = false;
  let lastFetch = 0;

  function say(state, text) {
    connection.className = state;
    if (connection.textContent !== text) connection.textContent = text;
  }

  // Where the numbers are from, in the reader's own time.
  function localise() {
    for (const time of document.querySelectorAll("time[data-clock]")) {
      const moment = new Date(time.dateTime);
      if (!Number.isNaN(moment.getTime())) time.textContent = moment.toLocaleTimeString();
    }
  }

  function span(seconds) {
    if (seconds < 90) return `${Math.max(0, Math.floor(seconds))} s`;
    if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
    if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
    return `${Math.round(seconds / 86400)} d`;
  }

  function grow() {
    for (const time of document.querySelectorAll("time[data-since]")) {
      const seconds = (Date.now() - new Date(time.dateTime).getTime()) / 1000;
      if (Number.isFinite(seconds)) time.textContent = span(seconds);
    }
  }

  function swap(page) {
    const fresh = page.querySelector("main[data-live]");
    if (!fresh) return false;
    const focused = document.activeElement && document.activeElement.closest("[id]");
    const index = focused ? [...focused.querySelectorAll("a, summary")].indexOf(document.activeElement) : -1;
    for (const details of fresh.querySelectorAll("details[id]")) {
      const old = document.getElementById(details.id);
      if (old) details.open = old.open;
    }
    const ids = new Set();
    let before = main.querySelector(".title"); // parts stand in a row below it, but for the age in it
    for (const part of fresh.querySelectorAll("[data-part]")) {
      ids.add(part.id);
      const old = document.getElementById(part.id);
      let mine = old;
      if (!old || !old.isEqualNode(part)) {
        mine = document.importNode(part, true);
        if (old) old.replaceWith(mine);
        else before.after(mine);
      }
      if (mine.parentElement === main) before = mine;
    }
    for (const old of main.querySelectorAll("[data-part]")) if (!ids.has(old.id)) old.remove();
    localise();
    if (focused && !focused.isConnected) {
      const again = document.getElementById(focused.id);
      const target = again && (index >= 0 ? again.querySelectorAll("a, summary")[index] : again);
      if (target) target.focus({ preventScroll: true });
    }
    return true;
  }

  async function refresh() {
    wanted = true;
    if (busy || document.hidden) return;
    busy = true;
    while (wanted && !document.hidden) {
      const wait = lastFetch + AT_MOST_EVERY - Date.now();
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
      wanted = false;
      lastFetch = Date.now();
      try {
        const answer = await fetch(location.pathname, { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(15000) });
        if (answer.status >= 500) throw new Error(`status ${answer.status}`);
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        if (!swap(page)) {
          say("lost", "You are logged out, or may no longer see this. Reload the page.");
          clearTimeout(retry); // only a log-in helps
          source.close();
        } else if (source.readyState === EventSource.OPEN) say("live", "Live");
      } catch {
        say("lost", "The numbers could not be renewed, trying again.");
        setTimeout(refresh, RETRY);
      }
    }
    busy = false;
  }

  function lost() {
    say("lost", "Connection lost, trying again.");
    if (source.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
    refresh(); // the page says more than a refused stream: logged out, or only that there are too many of these
    retry = setTimeout(open, pause);
    pause = Math.min(pause * 2, LONGEST_PAUSE);
  }

  function open() {
    clearTimeout(retry);
    if (source) source.close();
    source = new EventSource(main.dataset.live);
    source.onopen = () => {
      pause = 2000;
      say("live", "Live");
    };
    source.onmessage = refresh; // the first comes at once, so whatever was missed is made good
    source.onerror = lost;
  }

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && wanted) refresh();
  });
  window.addEventListener("pagehide", () => source && source.close());
  window.addEventListener("pageshow", (event) => event.persisted && open());
  document.documentElement.classList.add("script");
  setInterval(grow, 30000);
  localise();
  open();
})();
