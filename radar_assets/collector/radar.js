// Radar's tag: sends page views, including those of single-page apps, and events that the page tracks.
//   <script defer src="https://collect.example/radar.js" data-key="WRITE KEY"></script>
// data-host names the collector if another server has the script; data-hash is for apps whose pages differ in the fragment.
// Visitors who opted out, and browsers with Do Not Track or Global Privacy Control, are not tracked: nothing is stored or sent.
(() => {
  const { document: page, navigator: browser, location, history } = window;
  const tag = page.currentScript || page.querySelector("script[data-key]");
  if (!tag || window.radar) return;
  const { key, host, hash } = tag.dataset;
  if (!key) return console.error("radar.js: its script tag needs a write key as data-key");
  const target = (host || new URL(tag.src).origin).replace(/\/+$/, "") + "/v1/events";

  // What pages write for "no user": the collector puts its own pattern here.
  const NOBODY = /^NO_PERSON_ID$/i;
  const IDLE_MS = 18e5, BATCH = 10, PAUSE_MS = 300;
  const memory = {};
  let queue = [], timer, shown, referrer = page.referrer;

  // Where storage is forbidden or full, ids last as long as the page.
  const read = (name) => {
    try {
      return localStorage.getItem("radar." + name) || memory[name];
    } catch {
      return memory[name];
    }
  };
  const write = (name, value) => {
    memory[name] = value;
    try {
      localStorage.setItem("radar." + name, value);
    } catch {}
    return value;
  };
  // randomUUID is for secure pages only.
  const id = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => (byte + 256).toString(16).slice(1)).join("");
  const isOff = () => read("off") || browser.globalPrivacyControl || browser.doNotTrack === "1";
  const forget = () => ["visitor", "user", "session"].forEach((name) => write(name, ""));
  const session = () => {
    let [name, last] = (read("session") || "").split(" ");
    if (!name || Date.now() - last > IDLE_MS) name = id();
    write("session", name + " " + Date.now());
    return name;
  };

  const known = (user) => (NOBODY.test(user) ? undefined : "" + user);
  // A page is its address without the fragment, which may hold a token.
  const here = () => (hash == null ? location.href.split("#")[0] : location.href);

  const flush = () => {
    clearTimeout(timer);
    timer = 0;
    const events = queue.splice(0);
    if (!events.length) return;
    // Plain text needs no preflight. The key is in it, since addresses end up in logs.
    const body = JSON.stringify({ key, sent_at: new Date(), events });
    try {
      if (browser.sendBeacon(target, body)) return;
    } catch {}
    fetch(target, { method: "POST", body, keepalive: new Blob([body]).size < 6e4, credentials: "omit" }).catch(() => {});
  };
  const send = (type, event, properties, options) => {
    if (isOff()) return;
    const place = { url: here(), title: page.title };
    queue.push({
      event_id: id(),
      type,
      event,
      anonymous_id: read("visitor") || write("visitor", id()),
      user_id: known(read("user")),
      session_id: session(),
      timestamp: new Date(),
      properties: type === "page" ? { ...place, ...properties } : properties,
      context: {
        page: hash == null ? place : { ...place, hash_routing: true },
        userAgent: browser.userAgent,
        locale: browser.language,
        screen: { width: screen.width, height: screen.height },
        interactive: options?.interactive,
      },
    });
    if (queue.length >= BATCH) flush();
    else timer = timer || setTimeout(flush, PAUSE_MS);
  };

  const view = () => {
    const url = here();
    if (url === shown) return;
    send("page", "page_view", { referrer });
    shown = referrer = url;
  };
  // Apps change the address first and the title next.
  const viewSoon = () => setTimeout(view);
  for (const name of ["pushState", "replaceState"]) {
    const change = history[name];
    history[name] = function () {
      change.apply(this, arguments);
      viewSoon();
    };
  }
  addEventListener("popstate", viewSoon);
  // Restored from the back/forward cache.
  addEventListener("pageshow", (event) => event.persisted && view((shown = 0)));
  addEventListener("pagehide", flush);
  page.addEventListener("visibilitychange", () => page.visibilityState === "hidden" && flush());

  window.radar = {
    track: (name, properties, options) => send("track", name, properties, options),
    identify: (user, traits) => {
      if (isOff()) return;
      if (known(user)) write("user", known(user));
      else console.warn("radar.js: not a user id: " + user);
      send("identify", "identify", { traits });
    },
    // For when someone else will use this browser.
    reset: forget,
    optOut: () => {
      queue = [];
      forget();
      write("off", "1");
    },
    optIn: () => write("off", ""),
  };
  page.prerendering ? page.addEventListener("prerenderingchange", view, { once: true }) : view();
})();
