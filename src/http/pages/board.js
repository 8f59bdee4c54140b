// Keeps the board up to date: on each event of the server it takes the page anew and swaps the parts that differ. All of
// it is rendered by the server. Without this script the page says how old it is and has a link to reload.
"use strict";
(() => {
  const main = document.querySelector("main[data-live]");
  if (!main || !window.EventSource) return;
  const connection = document.getElementById("connection");
  const AT_MOST_EVERY = 1000; // ms between two fetches
  const SHORTEST_PAUSE = 2000;
  const LONGEST_PAUSE = 60000;
  // The server tells each minute what it told last. A connection that died unseen brings nothing, and no error either.
  const LONGEST_QUIET = 75000;
  const LOST = "Connection lost, trying again.";
  let source = null; // none while nobody looks: over HTTP/1.1 a browser has six connections for all tabs of the hub
  let watchdog = 0;
  let next = 0; // the timer of the next try, the only one
  let pause = SHORTEST_PAUSE;
  let wanted = false; // something changed since the last fetch
  let busy = false;
  let lastFetch = -Infinity; // by a clock that nobody sets

  const isOpen = () => source !== null && source.readyState === EventSource.OPEN;

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
    if (busy) return;
    busy = true;
    while (wanted && !document.hidden) {
      const wait = lastFetch + AT_MOST_EVERY - performance.now();
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
      wanted = false;
      lastFetch = performance.now();
      try {
        const answer = await fetch(location.pathname, { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(15000) });
        const refused = answer.status === 401 || answer.status === 403;
        // A proxy that has just been started knows no route and says 404; that passes, as all of 5xx does.
        if (!answer.ok && !refused) throw new Error(`status ${answer.status}`);
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        if (refused || !swap(page)) {
          close(); // only a log-in helps
          say("lost", "You are logged out, or may no longer see this. Reload the page.");
        } else if (isOpen()) {
          settle();
          say("live", "Live");
        } else if (source) say("lost", LOST);
      } catch {
        tryAgain(isOpen() ? "The numbers could not be renewed, trying again." : LOST);
      }
    }
    busy = false;
  }

  function settle() {
    clearTimeout(next);
    next = 0;
    pause = SHORTEST_PAUSE;
  }

  // By a new stream, whatever failed: its first event comes at once and fetches the page.
  function tryAgain(text) {
    if (document.hidden) return;
    say("lost", text);
    if (next) return;
    next = setTimeout(open, pause);
    pause = Math.min(pause * 2, LONGEST_PAUSE);
  }

  function lost() {
    clearTimeout(watchdog);
    source.close(); // left alone, the browser would try for ever at one pace
    tryAgain(LOST);
    refresh(); // the page says more than a refused stream: logged out, or only that there are too many of these
  }

  function heard() {
    clearTimeout(watchdog);
    watchdog = setTimeout(lost, LONGEST_QUIET);
  }

  function close() {
    settle();
    clearTimeout(watchdog);
    if (source) source.close();
    source = null;
  }

  function open() {
    clearTimeout(next);
    next = 0;
    if (source) source.close();
    source = new EventSource(main.dataset.live);
    source.onmessage = () => {
      heard();
      refresh(); // the first comes at once, so whatever was missed is made good
    };
    source.onerror = lost;
    heard();
  }

  function look() {
    close();
    if (document.hidden) say("", "");
    else open();
  }

  document.addEventListener("visibilitychange", look);
  window.addEventListener("online", look);
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", (event) => event.persisted && look());
  document.documentElement.classList.add("script");
  setInterval(grow, 30000);
  localise();
  look();
})();
