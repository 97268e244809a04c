// All answers of a live query in one table: only the rows in sight are drawn, data is drawn ten times a second at most, and no
// more is kept than MOST_ROWS and MOST_TEXT allow; the exports have all. The table of the server stays until the first answer.
const MOST_ROWS = 100000;
const MOST_TEXT = 32 << 20;
const MOST_COLUMNS = 200;
const CELL = 200;
const FAILURES = 200;
const ROW = 36;
const PAUSE = 100;
const AT_ONCE = 50000;

const make = (tag, attributes = {}, ...inside) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...inside);
  return made;
};

// Columns that were put away, of the queries that were looked at last, in this browser.
const KEY = "muster.put-away";
const remembered = () => {
  try { const all = JSON.parse(localStorage.getItem(KEY)); return Array.isArray(all) ? all : []; } catch { return []; }
};
const remember = (what, names) => {
  const others = remembered().filter((entry) => entry[0] !== what).slice(0, 30);
  try { localStorage.setItem(KEY, JSON.stringify(names.length ? [[what, names], ...others] : others)); } catch { /* It is not remembered. */ }
};

export const show = (part, { put, note, root }) => {
  const what = part.dataset.remember;
  const known = remembered().find((entry) => entry[0] === what);
  const state = {
    // The first column is the host, whatever columns answers have.
    names: ["Host"], columns: new Map(), widths: [12], numeric: [false],
    // Cells of each row by column.
    rows: [], ids: [], text: 0, isCut: false, lacksColumns: false, failures: 0,
    away: new Set(Array.isArray(known?.[1]) ? known[1] : []),
    filter: "", sort: -1, isDescending: false,
    // Numbers of the rows that have the text of the filter, and how many rows were looked at for it.
    view: [], seen: 0, sortedAt: 0, sortTook: 0, isUnsorted: false,
  };

  const columnOf = (name) => {
    const found = state.columns.get(name);
    if (found !== undefined) return found;
    if (state.names.length >= MOST_COLUMNS || name.length > 200) return -1;
    state.columns.set(name, state.names.length);
    state.names.push(name);
    state.widths.push(Math.min(name.length, 40));
    state.numeric.push(true);
    drawn.columns = false;
    return state.names.length - 1;
  };
  const text = (value) => {
    const whole = typeof value === "string" ? value : value === null || value === undefined ? "" : JSON.stringify(value);
    // A part of a text keeps all of it in memory, unless it is written anew.
    return whole.length > CELL ? JSON.parse(JSON.stringify(whole.slice(0, CELL))) + "…" : whole;
  };
  const fit = (column, content) => {
    if (state.rows.length < 2000 && content.length > state.widths[column]) { state.widths[column] = Math.min(content.length, 48); drawn.columns = false; }
    if (state.numeric[column] && content !== "" && !/^-?\d+(\.\d+)?$/.test(content)) { state.numeric[column] = false; drawn.columns = false; }
  };

  // What is on the page.
  const drawn = { columns: true, rows: new Map(), isMade: false };
  const head = make("tr", { role: "row" });
  const body = make("tbody", { role: "rowgroup" });
  const table = make("table", { role: "table", class: "virtual", "aria-label": "Answers" }, make("thead", { role: "rowgroup" }, head), body);
  const sight = make("div", { class: "virtual-scroll", tabindex: "0", role: "region", "aria-label": "Answers, which scroll" }, table);
  const filter = make("input", { type: "search", placeholder: "Filter rows", "aria-label": "Filter rows", "data-filter": true });
  const list = make("div", { class: "popup stack" });
  const picker = make("details", { class: "picker" }, make("summary", { class: "button" }, "Columns"), list);
  const tools = make("div", { class: "row tools" }, filter, picker);
  const shown = part.querySelector("[data-rows]");
  const more = part.querySelector("[data-more]");

  const visible = () => state.names.map((_, column) => column).filter((column) => column === 0 || !state.away.has(state.names[column]));

  const drawColumns = () => {
    drawn.columns = true;
    const columns = visible();
    const widths = columns.map((column) => `${Math.max(10, state.widths[column] + 3)}ch`);
    // The last one takes the rest of the card.
    widths.push(`minmax(${widths.pop()}, 1fr)`);
    table.style.setProperty("--columns", widths.join(" "));
    head.replaceChildren(...columns.map((column) => {
      const is = state.sort === column;
      const button = make("button", { type: "button", class: "sort" });
      put(button, state.names[column], 60);
      if (is) button.append(state.isDescending ? " ↓" : " ↑");
      button.addEventListener("click", () => {
        if (!is) { state.sort = column; state.isDescending = false; }
        else if (!state.isDescending) state.isDescending = true;
        else { state.sort = -1; state.isDescending = false; }
        drawn.columns = false;
        state.view = []; state.seen = 0; state.isUnsorted = true;
        later();
      });
      return make("th", { role: "columnheader", class: state.numeric[column] && column ? "n" : undefined,
        "aria-sort": is ? (state.isDescending ? "descending" : "ascending") : undefined, "data-column": state.names[column] }, button);
    }));
    if (list.childElementCount !== state.names.length - 1) {
      list.replaceChildren(...state.names.slice(1).map((name) => {
        const box = make("input", { type: "checkbox", value: name });
        box.checked = !state.away.has(name);
        box.addEventListener("change", () => {
          if (box.checked) state.away.delete(name); else state.away.add(name);
          remember(what, [...state.away].slice(0, MOST_COLUMNS));
          drawn.columns = false;
          later();
        });
        const label = make("label", { class: "check" }, box);
        put(label, name, 60);
        return label;
      }));
    }
    drawn.rows.forEach((row) => row.remove());
    drawn.rows.clear();
  };

  const compare = (column) => (one, other) => {
    const a = state.rows[one][column] ?? "";
    const b = state.rows[other][column] ?? "";
    if (state.numeric[column] && column) return Number(a) - Number(b) || one - other;
    return a < b ? -1 : a > b ? 1 : one - other;
  };
  // Looks at some rows more for the filter. Whether there are others.
  const lookOn = () => {
    const end = Math.min(state.rows.length, state.seen + AT_ONCE);
    for (; state.seen < end; state.seen += 1) {
      const row = state.rows[state.seen];
      if (!state.filter || row.some((cell) => cell !== undefined && cell.toLowerCase().includes(state.filter))) {
        state.view.push(state.seen);
        state.isUnsorted = state.isUnsorted || state.sort >= 0;
      }
    }
    const now = performance.now();
    // While rows come, sorting takes a fifth of the time at most.
    if (state.isUnsorted && state.sort >= 0 && now - state.sortedAt >= 5 * state.sortTook) {
      state.view.sort(compare(state.sort));
      if (state.isDescending) state.view.reverse();
      state.sortedAt = performance.now();
      state.sortTook = state.sortedAt - now;
      state.isUnsorted = false;
      drawn.rows.forEach((row) => row.remove());
      drawn.rows.clear();
    }
    if (state.sort < 0) state.isUnsorted = false;
    return state.seen < state.rows.length || state.isUnsorted;
  };

  const drawRow = (at) => {
    const number = state.view[at];
    const row = state.rows[number];
    const made = make("tr", { role: "row", "aria-rowindex": String(at + 2) });
    made.style.top = `${at * ROW}px`;
    for (const column of visible()) {
      const cell = make("td", { role: "cell", class: column === 0 ? "name" : state.numeric[column] ? "n" : undefined });
      const content = row[column] ?? "";
      if (column === 0) {
        const link = make("a", { href: new URL(`hosts/${state.ids[number]}`, root) });
        put(link, content, 60);
        cell.append(link);
      } else put(cell, content, CELL + 1);
      made.append(cell);
    }
    return made;
  };
  const drawRows = () => {
    body.style.height = `${state.view.length * ROW}px`;
    table.setAttribute("aria-rowcount", String(state.view.length + 1));
    const first = Math.max(0, Math.floor(sight.scrollTop / ROW) - 10);
    const last = Math.min(state.view.length, first + Math.ceil(sight.clientHeight / ROW) + 20);
    for (const [at, row] of drawn.rows) {
      if (at < first || at >= last) { row.remove(); drawn.rows.delete(at); }
    }
    const fresh = document.createDocumentFragment();
    for (let at = first; at < last; at += 1) {
      if (drawn.rows.has(at)) continue;
      const row = drawRow(at);
      drawn.rows.set(at, row);
      fresh.append(row);
    }
    body.append(fresh);
  };

  let timer = 0;
  let paintedAt = 0;
  const paint = () => {
    timer = 0;
    if (!drawn.isMade) {
      if (!state.rows.length) return;
      drawn.isMade = true;
      drawn.columns = false;
      part.querySelector("[data-empty]")?.remove();
      part.querySelector(".scroll").replaceWith(tools, sight);
    }
    const goesOn = lookOn();
    if (!drawn.columns) drawColumns();
    drawRows();
    const count = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, "\u202f");
    shown.dataset.rows = String(state.rows.length);
    const all = `${count(state.rows.length)} ${state.rows.length === 1 ? "row" : "rows"}`;
    shown.textContent = state.filter ? `${count(state.view.length)} of ${all}` : all;
    more.textContent = state.isCut ? ", the first; the exports have all"
      : state.lacksColumns ? ", without some columns; the exports have all" : "";
    paintedAt = performance.now();
    if (goesOn) later();
  };
  const later = () => { if (!timer) timer = setTimeout(paint, Math.max(0, PAUSE - (performance.now() - paintedAt))); };
  let frame = 0;
  sight.addEventListener("scroll", () => {
    frame = frame || requestAnimationFrame(() => { frame = 0; drawRows(); });
  }, { passive: true });
  addEventListener("resize", later);
  filter.addEventListener("input", () => {
    state.filter = filter.value.toLowerCase();
    state.view = []; state.seen = 0; state.isUnsorted = state.sort >= 0;
    drawn.rows.forEach((row) => row.remove());
    drawn.rows.clear();
    sight.scrollTop = 0;
    later();
  });

  const failures = document.getElementById("failures");
  const failed = (answer) => {
    state.failures += 1;
    if (!failures || state.failures > FAILURES) return;
    const into = failures.querySelector("ul");
    if (state.failures === 1) { into.replaceChildren(); failures.hidden = false; }
    const link = make("a", { href: new URL(`hosts/${Number(answer.host_id)}`, root) });
    put(link, String(answer.hostname || ""), 60);
    const reason = make("span", { class: "muted" });
    put(reason, String(answer.error), 300);
    into.append(make("li", {}, link, " ", reason));
  };
  // Takes an answer. Whether there is room for more.
  const take = (answer) => {
    if (answer.error) { failed(answer); return true; }
    const host = text(String(answer.hostname || ""));
    for (const row of answer.rows || []) {
      if (state.rows.length >= MOST_ROWS || state.text >= MOST_TEXT) { state.isCut = true; return false; }
      if (typeof row !== "object" || row === null || Array.isArray(row)) continue;
      const cells = [host];
      for (const [name, value] of Object.entries(row)) {
        const column = columnOf(name);
        if (column < 0) { state.lacksColumns = true; continue; }
        const content = text(value);
        cells[column] = content;
        state.text += content.length + 8;
        fit(column, content);
      }
      state.text += 8;
      fit(0, host);
      state.rows.push(cells);
      state.ids.push(Number(answer.host_id));
    }
    return true;
  };

  const follow = async () => {
    try {
      const answer = await fetch(new URL(part.dataset.stream, root), { redirect: "error" });
      if (answer.status === 401) { location.reload(); return; }
      if (!answer.ok) throw new Error(String(answer.status));
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = [];
      let pausedAt = performance.now();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        const lines = value.split("\n");
        if (lines.length > 1) {
          lines[0] = rest.join("") + lines[0];
          rest = [];
        }
        rest.push(lines.pop());
        let hasRoom = true;
        for (const line of lines) if (line && hasRoom) hasRoom = take(JSON.parse(line));
        later();
        if (!hasRoom) { await reader.cancel(); break; }
        // Whoever looks comes first.
        if (performance.now() - pausedAt > 40) {
          await new Promise((go) => setTimeout(go));
          pausedAt = performance.now();
        }
      }
    } catch {
      note(part, "Answers do not arrive here any more. Load the page again to see them.");
    } finally {
      later();
      part.dataset.streamed = "true";
    }
  };
  follow();
};
