// The editor of SQL and YAML: it stands in for a textarea, which stays what the form sends. `make assets` bundles it.
import { StateField } from "@codemirror/state";
import { Decoration, EditorView, highlightSpecialChars, keymap, lineNumbers, placeholder } from "@codemirror/view";
import { history, historyKeymap, indentLess, indentMore, standardKeymap } from "@codemirror/commands";
import { acceptCompletion, autocompletion, completionKeymap, ifNotIn } from "@codemirror/autocomplete";
import { HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { SQLite, keywordCompletionSource, schemaCompletionSource } from "@codemirror/lang-sql";
import { yaml } from "@codemirror/lang-yaml";
import { tags } from "@lezer/highlight";
import { StyleModule } from "style-mod";

// The content security policy forbids style elements, which are what CodeMirror would make.
const adopted = new CSSStyleSheet();
let styles = [];
StyleModule.mount = (root, modules) => {
  styles = [...styles.filter((style) => !modules.includes(style)), ...modules];
  adopted.replaceSync(styles.map((style) => style.getRules()).join("\n"));
  if (!root.adoptedStyleSheets.includes(adopted)) root.adoptedStyleSheets = [...root.adoptedStyleSheets, adopted];
};

const FONT = 'ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace';
const theme = EditorView.theme({
  "&": { backgroundColor: "var(--surface)", color: "var(--ink)", border: "1px solid var(--strong-line)", borderRadius: "var(--radius)", fontSize: "13px", fontWeight: "400", maxHeight: "min(70vh, 640px)" },
  "&.cm-focused": { outline: "2px solid var(--accent)", outlineOffset: "2px" },
  ".cm-scroller": { fontFamily: FONT, lineHeight: "1.5", overflow: "auto", borderRadius: "var(--radius)" },
  ".cm-content": { padding: "6px 0", caretColor: "var(--ink)", tabSize: "2" },
  ".cm-line": { padding: "0 10px" },
  ".cm-placeholder": { color: "var(--soft)" },
  ".cm-gutters": { backgroundColor: "var(--sunken)", color: "var(--soft)", borderRight: "1px solid var(--line)" },
  ".cm-wrong": { backgroundColor: "var(--bad-soft)", boxShadow: "inset 3px 0 var(--bad)" },
  ".cm-tooltip": { backgroundColor: "var(--raised)", border: "1px solid var(--line)", borderRadius: "var(--radius)", boxShadow: "var(--shadow)", overflow: "hidden", maxWidth: "calc(100vw - 24px)" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul": { fontFamily: FONT, maxHeight: "260px", maxWidth: "100%", minWidth: "min(250px, 100%)" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li": { padding: "3px 10px", display: "flex", gap: "16px", justifyContent: "space-between" },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { backgroundColor: "var(--accent-soft)", color: "var(--ink)" },
  ".cm-completionLabel": { overflow: "hidden", textOverflow: "ellipsis" },
  ".cm-completionMatchedText": { textDecoration: "none", color: "var(--accent)", fontWeight: "600" },
  ".cm-completionDetail": { color: "var(--soft)", fontStyle: "normal", marginLeft: "0" },
});
const colours = HighlightStyle.define([
  { tag: [tags.keyword, tags.operatorKeyword, tags.modifier], color: "var(--accent)", fontWeight: "600" },
  { tag: [tags.definition(tags.propertyName), tags.propertyName], color: "var(--accent)" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--good)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--attention)" },
  { tag: tags.comment, color: "var(--soft)", fontStyle: "italic" },
]);

// Characters that nobody sees, or that turn the direction of text, by their number, as everywhere on pages.
const hidden = highlightSpecialChars({
  addSpecialChars: /[\u180e\u200c\u200d\u202a-\u202e\u2060-\u206f\u{e0000}-\u{e007f}]/u,
  render: (code, description) => {
    const mark = document.createElement("span");
    mark.className = "hidden-char";
    mark.textContent = "U+" + code.toString(16).toUpperCase().padStart(4, "0");
    mark.title = description;
    return mark;
  },
});

// Text that is typed over other text. Chromium would give it the look of the other by a style attribute, which the policy forbids.
const over = EditorView.domEventHandlers({
  beforeinput: (event, view) => {
    if (event.inputType !== "insertText" || event.isComposing || !event.data || view.state.selection.main.empty) return false;
    view.dispatch(view.state.replaceSelection(event.data), { userEvent: "input.type", scrollIntoView: true });
    return true;
  },
});

// Lines that something is told of beside the text.
const marked = (lines) => StateField.define({
  create: ({ doc }) => {
    const known = [...new Set(lines)].filter((line) => line >= 1 && line <= doc.lines).sort((one, other) => one - other);
    return Decoration.set(known.map((line) => Decoration.line({ class: "cm-wrong" }).range(doc.line(line).from)));
  },
  update: (marks, { changes }) => marks.map(changes),
  provide: (field) => EditorView.decorations.from(field),
});

// What a schema completes: tables, columns behind `table.` or an alias, and the columns of all tables that the SQL names.
const RESERVED = /^(add|all|alter|and|as|between|by|case|check|collate|commit|constraint|create|default|delete|distinct|drop|else|escape|except|exists|foreign|from|group|having|in|index|insert|intersect|into|is|isnull|join|limit|not|notnull|null|on|or|order|primary|references|select|set|table|then|to|transaction|union|unique|update|using|values|when|where)$/i;
const completion = (label, detail, type, boost) => ({ label, detail, type, boost, apply: RESERVED.test(label) ? `"${label}"` : undefined });
const sourcesOf = ({ tables }) => {
  const columns = new Map();
  const schema = tables.map(({ name, about, columns: names }) => {
    const children = names.map((column) => completion(column.name, column.about, "property", 2));
    columns.set(name.toLowerCase(), children);
    return [name, { self: completion(name, about || "table", "type", 1), children }];
  });
  const named = (context) => {
    const word = context.matchBefore(/\w*/);
    if ((word.from === word.to && !context.explicit) || context.state.sliceDoc(word.from - 1, word.from) === ".") return null;
    const options = new Map();
    for (const [name] of context.state.doc.toString().matchAll(/\w+/g)) {
      for (const column of columns.get(name.toLowerCase()) || []) if (!options.has(column.label)) options.set(column.label, column);
    }
    return { from: word.from, options: [...options.values()], validFor: /^\w*$/ };
  };
  return [schemaCompletionSource({ dialect: SQLite, schema: Object.fromEntries(schema) }), named];
};

// The schema of the hosts that the form chooses, asked for when something is completed, and anew when other hosts are chosen.
const AFRESH = 60000;
const LONGEST = 6000;
const TARGETS = ["all", "hosts", "host_id", "label", "platform"];
const schemaOf = (form, base, root) => {
  let last = { address: "" };
  const read = async (address) => {
    try {
      const answer = await fetch(new URL(address, root), { redirect: "error" });
      return answer.ok ? sourcesOf(await answer.json()) : [];
    } catch { return []; }
  };
  return () => {
    const chosen = new URLSearchParams([...new FormData(form)].filter(([name, value]) => value && TARGETS.includes(name)));
    const narrowed = `${base}?${chosen}`;
    const address = String(chosen) === "" || narrowed.length > LONGEST ? base : narrowed;
    if (last.address !== address || Date.now() - last.at > AFRESH) last = { address, at: Date.now(), sources: read(address) };
    return last.sources;
  };
};

const only = (source, keeps) => async (context) => {
  const found = await source(context);
  if (!found) return null;
  const before = context.state.sliceDoc(found.from - 1, found.from);
  const word = context.state.sliceDoc(found.from, context.pos);
  return { ...found, options: found.options.filter((option) => keeps(option, word, before)) };
};

const sql = (form, base, root) => {
  const schema = schemaOf(form, base, root);
  const none = ["String", "LineComment", "BlockComment"];
  const at = (number) => ifNotIn(none, async (context) => (await schema())[number]?.(context) ?? null);
  const sources = [
    // A word behind a table is taken for its alias, also while it is typed and will be another one.
    only(at(0), ({ type, label }, word) => type !== "constant" || label !== word),
    at(1),
    // Without the commands of SQLite's shell, and not behind the name of a table.
    only(keywordCompletionSource(SQLite, true), ({ type }, _, before) => type !== "variable" && before !== "."),
  ];
  return [SQLite.extension, EditorView.lineWrapping, autocompletion({ icons: false, override: sources })];
};

export const show = (part, { root }) => {
  const area = part.querySelector("textarea");
  const { form } = area;
  const label = part.querySelector("label");
  const told = area.getAttribute("aria-describedby");
  const send = () => { form.requestSubmit(form.querySelector("button.primary")); return true; };
  const notes = [...document.querySelectorAll(`[data-of="${CSS.escape(area.id)}"][data-line]`)];
  const view = new EditorView({
    doc: area.value,
    selection: { anchor: Math.min(area.selectionStart, area.value.length) },
    extensions: [
      keymap.of([
        { key: "Mod-Enter", run: send },
        { key: "Tab", run: acceptCompletion },
        { key: "Mod-]", run: indentMore },
        { key: "Mod-[", run: indentLess },
        ...completionKeymap, ...historyKeymap, ...standardKeymap,
      ]),
      history(), over, hidden, theme, syntaxHighlighting(colours), placeholder(area.placeholder),
      part.dataset.language === "sql" ? sql(form, part.dataset.schema, root) : [yaml().language, lineNumbers()],
      marked(notes.map((note) => Number(note.dataset.line))),
      EditorView.contentAttributes.of({
        "aria-labelledby": label.id,
        tabindex: "0",
        ...(told && { "aria-describedby": told }),
        ...((told || notes.length) && { "aria-invalid": "true" }),
      }),
      EditorView.updateListener.of((update) => { if (update.docChanged) area.value = update.state.doc.toString(); }),
    ],
  });
  view.dom.style.minHeight = `${area.offsetHeight}px`;
  // Whoever types chooses no other hosts.
  view.dom.addEventListener("input", (event) => event.stopPropagation());
  const hasFocus = document.activeElement === area;
  area.after(view.dom);
  area.hidden = true;
  // What nobody sees cannot be asked for by the browser; the server asks for it.
  area.required = false;
  if (hasFocus) view.focus();
  label.addEventListener("click", () => view.focus());
  document.addEventListener("click", (event) => {
    const note = event.target.closest("[data-line]");
    if (!note || !notes.includes(note)) return;
    const line = view.state.doc.line(Math.min(Number(note.dataset.line), view.state.doc.lines));
    view.dispatch({ selection: { anchor: line.from, head: line.to }, effects: EditorView.scrollIntoView(line.from, { y: "center" }) });
    view.focus();
  });
};
