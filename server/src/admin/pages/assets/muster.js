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

  // Parts that renew themselves: data-renew is the address of the part, data-every the seconds between.
  const renew = (part) => {
    const wait = Number(part.dataset.every || 10) * 1000;
    setTimeout(async () => {
      if (!part.isConnected) return;
      if (document.hidden) { renew(part); return; }
      try {
        const answer = await fetch(new URL(part.dataset.renew, root), { headers: { accept: "text/html" }, redirect: "error" });
        if (!answer.ok) throw new Error(String(answer.status));
        const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
        const fresh = parsed.body.firstElementChild;
        if (fresh) {
          part.replaceWith(fresh);
          fresh.dispatchEvent(new CustomEvent("renewed", { bubbles: true }));
          if (fresh.dataset.renew) renew(fresh);
        }
      } catch { renew(part); }
    }, wait);
  };
  document.querySelectorAll("[data-renew]").forEach(renew);

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
    const cell = (content) => { const made = document.createElement("td"); made.textContent = content.slice(0, 200); return made; };
    const add = () => {
      if (!waiting.length) return;
      const all = document.createDocumentFragment();
      for (const answer of waiting) {
        for (const row of answer.rows || []) {
          if (rows >= MOST) break;
          rows += 1;
          for (const column of Object.keys(row)) {
            if (columns.includes(column) || columns.length >= 30) continue;
            columns.push(column);
            const made = document.createElement("th");
            made.dataset.column = column;
            made.textContent = column.slice(0, 60);
            head.append(made);
          }
          const made = document.createElement("tr");
          const host = document.createElement("td");
          host.className = "name";
          const link = document.createElement("a");
          link.href = new URL(`hosts/${Number(answer.host_id)}`, root);
          link.textContent = (answer.hostname || "").slice(0, 60);
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
      if (!answer.ok) return;
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
    } catch { /* The page still says what it knew; a reload goes on. */ } finally {
      clearInterval(timer);
      add();
      part.dataset.streamed = "true";
    }
  };
  document.querySelectorAll("[data-stream]").forEach(follow);
})();
