// Keeps a page current: loads it again while it is visible, and changes only what differs, so that focus, scroll position and selection
// stay. Without it, the page has a link to reload.
"use strict";
{
  const EVERY_MS = 15_000;
  const pause = document.getElementById("pause");
  const status = document.getElementById("refresh-status");
  let isPaused = false;
  let isLoading = false;

  // Changes a node into another one of the same kind. Children with an id keep their nodes wherever they move to.
  function patch(old, fresh) {
    if (old.isEqualNode(fresh) || (old.dataset && "kept" in old.dataset)) return;
    if (old.nodeType !== Node.ELEMENT_NODE) {
      old.data = fresh.data;
      return;
    }
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    const ids = new Set([...fresh.children].map((child) => child.id));
    for (const child of [...old.children]) if (child.id && !ids.has(child.id)) child.remove();
    const known = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
    let at = old.firstChild;
    for (const child of [...fresh.childNodes]) {
      const same = child.id ? known.get(child.id) : null;
      // What has no id is known by its place alone.
      while (same && at && at !== same && !at.id) at = removed(at);
      if (same && same === at) {
        at = at.nextSibling;
        patch(same, child);
      } else if (same) {
        old.insertBefore(same, at);
        patch(same, child);
      } else if (!child.id && at && !at.id && at.nodeName === child.nodeName) {
        const place = at;
        at = at.nextSibling;
        patch(place, child);
      } else {
        old.insertBefore(document.importNode(child, true), at);
      }
    }
    while (at) at = removed(at);
  }

  function removed(node) {
    const next = node.nextSibling;
    node.remove();
    return next;
  }

  function top(node) {
    return node.getBoundingClientRect().top;
  }

  // What is read: what has the focus, if it can be seen, or else what is at the top of the window.
  function anchor() {
    const isSeen = (node) => node.getBoundingClientRect().bottom > 0 && top(node) < innerHeight;
    const focused = document.activeElement;
    if (focused.closest("#content") && isSeen(focused)) return focused;
    return [...document.querySelectorAll("#content .item")].find(isSeen);
  }

  function isBusy() {
    const selection = getSelection();
    return isPaused || isLoading || document.hidden || (selection && !selection.isCollapsed);
  }

  async function refresh() {
    if (isBusy()) return;
    isLoading = true;
    try {
      const response = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
      if (!response.ok || response.redirected) throw new Error("another page");
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const fresh = page.getElementById("content");
      const focused = document.activeElement;
      const read = scrollY > 0 ? anchor() : null;
      const before = read ? top(read) : 0;
      const places = [];
      for (let node = focused; node && node.id !== "content"; node = node.parentElement) if (node.id) places.push(node.id);
      patch(document.getElementById("content"), fresh);
      // What had the focus may be gone, such as the oldest run of a job.
      const left = focused.isConnected ? null : places.map((id) => document.getElementById(id)).find(Boolean);
      left?.querySelector("a")?.focus({ preventScroll: true });
      if (read?.isConnected) scrollBy({ top: top(read) - before, behavior: "instant" });
    } catch {
      if (status) status.textContent = "This page is not being updated: the server doesn't respond, or you are logged out.";
    } finally {
      isLoading = false;
    }
  }

  if (pause) {
    pause.hidden = false;
    pause.addEventListener("click", () => {
      isPaused = !isPaused;
      pause.textContent = isPaused ? "Resume updates" : "Pause updates";
      refresh();
    });
  }
  // Done above, because not every browser does it.
  document.documentElement.style.overflowAnchor = "none";
  setInterval(refresh, EVERY_MS);
  document.addEventListener("visibilitychange", refresh);
}
