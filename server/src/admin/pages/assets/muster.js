// Makes pages quicker to use. Everything works without it but results that come while one looks.
"use strict";
(() => {
  const root = document.baseURI;

  // A notice in the address was seen: a reload does not show it again.
  const here = new URL(location.href);
  if (here.searchParams.has("notice")) {
    here.searchParams.delete("notice");
    history.replaceState(null, "", here);
  }

  // Keys: "/" goes to the search, "g" and a letter go to a page.
  let goes = 0;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const at = event.target;
    if (event.key === "Escape") {
      document.querySelectorAll("details:is(.account, .picker)[open]").forEach((open) => open.removeAttribute("open"));
      const menu = document.getElementById("menu");
      if (menu) menu.checked = false;
    }
    if (at.closest("input, textarea, select, [contenteditable]")) return;
    if (event.key === "/") {
      const search = document.querySelector('[data-key="/"]');
      if (search) { event.preventDefault(); search.focus(); }
    } else if (event.key === "g") {
      goes = Date.now();
    } else if (Date.now() - goes < 1500) {
      goes = 0;
      const link = document.querySelector(`[data-go="${CSS.escape(event.key)}"]`);
      if (link) link.click();
    }
  });
  document.addEventListener("click", (event) => {
    document.querySelectorAll("details:is(.account, .picker)[open]").forEach((open) => {
      if (!open.contains(event.target)) open.removeAttribute("open");
    });
  });

  // A form that would do twice what is to be done once is sent once.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post") return;
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "1";
  });
  addEventListener("pageshow", () => document.querySelectorAll("form[data-sent]").forEach((form) => delete form.dataset.sent));

  // A part that is not renewed says of when it is, until it is.
  const note = (part, text) => {
    if (part.querySelector(".stale")) return;
    const made = document.createElement("p");
    made.className = "toast stale";
    made.setAttribute("role", "status");
    made.textContent = text;
    part.prepend(made);
  };

  // The session has ended. The login comes, and this page after it; not from a form with something in it, which would be lost.
  const ended = () => {
    const main = document.querySelector("main");
    const typed = "form[method=post]:not([data-bulk]) :is(textarea, select, input:not([name=form_token]))";
    if (main?.querySelector(typed)) note(main, "Your session has ended. Log in in another tab, and go on here.");
    else location.reload();
  };

  // Text of somebody else, cut; characters that nobody sees, or that turn the direction of text, by their number.
  const HIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;
  const put = (into, text, most) => {
    const start = [...text.slice(0, 2 * most)].slice(0, most).join("");
    const made = document.createElement("bdi");
    let at = 0;
    for (const hidden of start.matchAll(HIDDEN)) {
      const mark = document.createElement("span");
      mark.className = "hidden-char";
      mark.textContent = "U+" + hidden[0].codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
      made.append(start.slice(at, hidden.index), mark);
      at = hidden.index + hidden[0].length;
    }
    made.append(start.slice(at));
    into.append(made);
    if (start.length < text.length) into.append("…");
  };

  // What is open in a part and what has the focus, for the part that replaces it.
  const FOCUSABLE = "a, button, input, summary, [tabindex]";
  const keep = (part) => {
    const open = [...part.querySelectorAll("details")].map((details) => details.open);
    const focused = [...part.querySelectorAll(FOCUSABLE)].indexOf(document.activeElement);
    return (fresh) => {
      const details = [...fresh.querySelectorAll("details")];
      if (details.length === open.length) details.forEach((one, number) => { one.open = open[number]; });
      if (focused >= 0) fresh.querySelectorAll(FOCUSABLE)[focused]?.focus({ preventScroll: true });
    };
  };

  // Parts that renew themselves: data-renew is the address of the part, data-every the seconds between.
  const renew = (part, shown = new Date()) => {
    const wait = Number(part.dataset.every || 10) * 1000;
    setTimeout(async () => {
      if (!part.isConnected) return;
      if (document.hidden) { renew(part, shown); return; }
      try {
        const answer = await fetch(new URL(part.dataset.renew, root), { headers: { accept: "text/html" }, redirect: "error" });
        if (answer.status === 401) { ended(); return; }
        if (!answer.ok) throw new Error(String(answer.status));
        const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
        const fresh = parsed.body.firstElementChild;
        if (fresh) {
          const kept = keep(part);
          part.replaceWith(fresh);
          kept(fresh);
          fresh.dispatchEvent(new CustomEvent("renewed", { bubbles: true }));
          if (fresh.dataset.renew) renew(fresh);
        }
      } catch {
        note(part, `As of ${shown.toLocaleTimeString()}: the server does not answer.`);
        renew(part, shown);
      }
    }, wait);
  };
  document.querySelectorAll("[data-renew]").forEach((part) => renew(part));

  // Parts that a module of their own shows: data-module is its address.
  document.querySelectorAll("[data-module]").forEach(async (part) => {
    try {
      const module = await import(new URL(part.dataset.module, root));
      module.show(part, { put, note, root });
    } catch {
      note(part, "This part could not be loaded. Load the page again.");
    }
  });

  // A form whose targets are counted while one chooses them.
  document.querySelectorAll("[data-ask]").forEach((form) => {
    let wait = 0;
    let asking = null;
    const count = async () => {
      const line = form.querySelector("[data-count]");
      if (!line) return;
      const fields = new FormData(form);
      const chosen = new URLSearchParams();
      for (const name of ["all", "hosts", "host_id", "label", "platform"]) fields.getAll(name).forEach((value) => value && chosen.append(name, value));
      asking?.abort();
      asking = new AbortController();
      const address = `${line.dataset.count}?${chosen}`;
      if (address.length > 6000) { line.textContent = "So many names are counted only when the query runs."; return; }
      try {
        const answer = await fetch(new URL(address, root), { signal: asking.signal, redirect: "error" });
        if (answer.status === 401) { ended(); return; }
        if (!answer.ok) throw new Error(String(answer.status));
        const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
        const fresh = parsed.body.firstElementChild;
        if (fresh) line.replaceWith(fresh);
      } catch (error) {
        if (error.name !== "AbortError") line.textContent = "Hosts cannot be counted now; the query can run all the same.";
      }
    };
    const soon = (event) => {
      if (event && event.target.name === "sql") return;
      clearTimeout(wait);
      wait = setTimeout(count, 200);
    };
    form.querySelector("button[name=count]")?.remove();
    form.addEventListener("input", soon);
    soon();
  });

  // Rows that are selected: how many, and all of a page at once.
  document.querySelectorAll("[data-bulk]").forEach((form) => {
    const all = form.querySelector("[data-pick-all]");
    const picked = form.querySelector("[data-picked]");
    const boxes = [...form.querySelectorAll("td.pick input")];
    const whole = form.querySelector("[name=all]");
    const count = () => {
      const chosen = boxes.filter((box) => box.checked).length;
      all.checked = chosen > 0 && chosen === boxes.length;
      all.indeterminate = chosen > 0 && chosen < boxes.length;
      const hasAny = chosen > 0 || whole?.checked;
      picked.textContent = whole?.checked ? "All of the list:" : chosen ? `${chosen} selected:` : "Select hosts to do something with them:";
      form.querySelectorAll(".bulk-bar button").forEach((button) => { button.disabled = !hasAny; });
    };
    all.hidden = false;
    all.addEventListener("change", () => { boxes.forEach((box) => { box.checked = all.checked; }); count(); });
    form.addEventListener("change", count);
    addEventListener("pageshow", count);
    count();
  });

  // Charts tell the values of the moment under the pointer at once; without a script, after a while.
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  document.body.append(tip);
  const told = new WeakMap();
  document.addEventListener("pointermove", (event) => {
    const hit = event.target.closest?.(".chart .hit");
    if (!hit) { tip.hidden = true; return; }
    const title = hit.querySelector("title");
    if (title) { told.set(hit, title.textContent); title.remove(); }
    tip.textContent = told.get(hit) || "";
    tip.hidden = !tip.textContent;
    const isLeft = event.clientX > innerWidth / 2;
    tip.style.left = isLeft ? "" : `${event.clientX + 14}px`;
    tip.style.right = isLeft ? `${innerWidth - event.clientX + 14}px` : "";
    tip.style.top = `${event.clientY + 14}px`;
  }, { passive: true });

  // A click on a bar opens what is behind it, as the links in the table of the chart do.
  document.addEventListener("click", (event) => {
    const opens = event.target.closest?.(".chart .hit")?.dataset.opens;
    if (!opens) return;
    const address = new URL(opens, root);
    if (event.ctrlKey || event.metaKey) open(address, "_blank", "noopener");
    else location.assign(address);
  });

  // The command palette: Ctrl-K or the button; arrows choose, Enter goes.
  const opener = document.querySelector("[data-palette]");
  if (opener && window.HTMLDialogElement) {
    const dialog = document.createElement("dialog");
    dialog.className = "palette";
    dialog.setAttribute("aria-label", "Go to");
    const input = document.createElement("input");
    const results = document.createElement("div");
    for (const [name, value] of Object.entries({ type: "text", role: "combobox", "aria-expanded": "true", "aria-controls": "palette-found",
      "aria-autocomplete": "list", "aria-label": "Part of a name", placeholder: "Page, host, query, pack or label", maxlength: "200", autocomplete: "off", spellcheck: "false" })) {
      input.setAttribute(name, value);
    }
    results.id = "palette-found";
    results.setAttribute("role", "listbox");
    results.setAttribute("aria-label", "Found");
    dialog.append(input, results);
    document.body.append(dialog);
    let options = [];
    let active = -1;
    let wait = 0;
    let asking = null;
    const choose = (next) => {
      options[active]?.removeAttribute("aria-selected");
      active = options.length ? (next + options.length) % options.length : -1;
      const option = options[active];
      if (!option) { input.removeAttribute("aria-activedescendant"); return; }
      option.setAttribute("aria-selected", "true");
      option.scrollIntoView({ block: "nearest" });
      input.setAttribute("aria-activedescendant", option.id);
    };
    const look = async () => {
      asking?.abort();
      asking = new AbortController();
      const address = new URL(opener.dataset.palette, root);
      const asked = input.value;
      address.searchParams.set("query", asked);
      try {
        const answer = await fetch(address, { signal: asking.signal, redirect: "error" });
        if (answer.status === 401) { ended(); return; }
        if (!answer.ok) throw new Error(String(answer.status));
        const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
        const fresh = parsed.body.firstElementChild;
        fresh.querySelectorAll("section").forEach((section) => section.setAttribute("role", "group"));
        fresh.querySelectorAll("h2, ul, li").forEach((element) => element.setAttribute("role", "presentation"));
        options = [...fresh.querySelectorAll("a")];
        options.forEach((option, number) => {
          option.id = `palette-${number}`;
          option.setAttribute("role", "option");
          option.tabIndex = -1;
        });
        results.replaceChildren(fresh);
        dialog.dataset.of = asked;
        active = -1;
        choose(0);
      } catch (error) {
        if (error.name === "AbortError") return;
        options = [];
        active = -1;
        results.textContent = "The server does not answer. Type again in a moment.";
      }
    };
    const open = () => {
      if (dialog.open) { dialog.close(); return; }
      input.value = "";
      dialog.showModal();
      input.focus();
      look();
    };
    opener.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
      event.preventDefault();
      open();
    });
    document.addEventListener("keydown", (event) => {
      if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "k") { event.preventDefault(); open(); }
    });
    input.addEventListener("input", () => { clearTimeout(wait); wait = setTimeout(look, 120); });
    input.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown") { event.preventDefault(); choose(active + 1); }
      else if (event.key === "ArrowUp") { event.preventDefault(); choose(active - 1); }
      else if (event.key === "Enter") {
        event.preventDefault();
        // What was typed last has not been looked for yet.
        if (dialog.dataset.of !== input.value) { clearTimeout(wait); look().then(() => options[active]?.click()); }
        else options[active]?.click();
      }
    });
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  }
})();

// Copies the text of an element: data-copy is its id. Goes to a line of a text: data-line is its number, data-of the id.
(() => {
  document.documentElement.classList.add("has-script");
  const select = (part) => getSelection().selectAllChildren(part);
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    const part = button && document.getElementById(button.dataset.copy);
    if (part) {
      try {
        await navigator.clipboard.writeText(part.textContent);
        button.textContent = "Copied";
      } catch {
        select(part);
        button.textContent = "Selected: press Ctrl-C";
      }
    }
    const note = event.target.closest("[data-line][data-of]");
    const text = note && document.getElementById(note.dataset.of);
    if (text) {
      const lines = text.value.split("\n");
      const from = lines.slice(0, note.dataset.line - 1).join("\n").length + (note.dataset.line > 1 ? 1 : 0);
      text.focus();
      text.setSelectionRange(from, from + (lines[note.dataset.line - 1] || "").length);
      text.scrollTop = (text.scrollHeight / Math.max(lines.length, 1)) * Math.max(0, note.dataset.line - 5);
    }
  });
})();
