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
      document.querySelectorAll("details.account[open]").forEach((open) => open.removeAttribute("open"));
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
    document.querySelectorAll("details.account[open]").forEach((open) => {
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

  // Parts that renew themselves: data-renew is the address of the part, data-every the seconds between.
  const renew = (part, shown = new Date()) => {
    const wait = Number(part.dataset.every || 10) * 1000;
    setTimeout(async () => {
      if (!part.isConnected) return;
      if (document.hidden) { renew(part, shown); return; }
      try {
        const answer = await fetch(new URL(part.dataset.renew, root), { headers: { accept: "text/html" }, redirect: "error" });
        // The session has ended: the login comes, and this page after it.
        if (answer.status === 401) { location.reload(); return; }
        if (!answer.ok) throw new Error(String(answer.status));
        const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
        const fresh = parsed.body.firstElementChild;
        if (fresh) {
          part.replaceWith(fresh);
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

  // Answers of a live query as they come: data-stream is their address. Rows are added ten times a second at most, and so
  // many at most: the exports have all.
  const MOST = 2000;
  const follow = async (part) => {
    const [head, body] = [part.querySelector("thead tr"), part.querySelector("tbody")];
    const shown = part.querySelector("[data-rows]");
    const columns = [...head.querySelectorAll("[data-column]")].map((cell) => cell.dataset.column);
    let rows = Number(shown.dataset.rows);
    let waiting = [];
    const text = (value) => (typeof value === "string" ? value : value === null || value === undefined ? "" : JSON.stringify(value));
    const cell = (content) => { const made = document.createElement("td"); put(made, content, 200); return made; };
    const add = () => {
      if (!waiting.length) return;
      const all = document.createDocumentFragment();
      for (const answer of waiting) {
        for (const row of answer.rows || []) {
          if (rows >= MOST) break;
          rows += 1;
          for (const column of Object.keys(row)) {
            if (columns.includes(column) || columns.length >= 30 || column.length > 200) continue;
            columns.push(column);
            const made = document.createElement("th");
            made.dataset.column = column;
            put(made, column, 60);
            head.append(made);
          }
          const made = document.createElement("tr");
          const host = document.createElement("td");
          host.className = "name";
          const link = document.createElement("a");
          link.href = new URL(`hosts/${Number(answer.host_id)}`, root);
          put(link, answer.hostname || "", 60);
          host.append(link);
          made.append(host, ...columns.map((column) => cell(text(row[column]))));
          all.append(made);
        }
      }
      waiting = [];
      body.append(all);
      if (rows) part.querySelector("[data-empty]")?.remove();
      shown.textContent = rows >= MOST ? `the first ${rows}` : String(rows);
    };
    const timer = setInterval(add, 100);
    try {
      const answer = await fetch(new URL(part.dataset.stream, root), { redirect: "error" });
      if (answer.status === 401) { location.reload(); return; }
      if (!answer.ok) throw new Error(String(answer.status));
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        const lines = (rest + value).split("\n");
        rest = lines.pop();
        for (const line of lines) if (line) waiting.push(JSON.parse(line));
        if (rows + waiting.length > MOST) { await reader.cancel(); break; }
      }
    } catch {
      note(part, "Answers do not arrive here any more. Load the page again to see them.");
    } finally {
      clearInterval(timer);
      add();
      part.dataset.streamed = "true";
    }
  };
  document.querySelectorAll("[data-stream]").forEach(follow);
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
