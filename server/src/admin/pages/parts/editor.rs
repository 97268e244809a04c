//! Fields for code: texts with colours and completion where there is a script, and plain ones elsewhere.

use maud::{Markup, html};

use super::text::shown;
use crate::admin::pages::assets::EDITOR;

/// Language of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::admin::pages) enum CodeLanguage {
    /// As osquery takes it, completed by the schema of the hosts that the form chooses.
    Sql,
    Yaml,
}

/// A field of a form that holds code. A form has one.
#[derive(Debug)]
pub(in crate::admin::pages) struct CodeField<'a> {
    pub language: CodeLanguage,
    /// Also the id of the text, for what is told of its lines.
    pub name: &'a str,
    pub label: &'a str,
    pub rows: u8,
    /// Shown while there is no text.
    pub example: &'a str,
    pub text: &'a str,
    /// Problem with the text.
    pub problem: Option<&'a str>,
}

pub(in crate::admin::pages) fn code_field(field: &CodeField<'_>) -> Markup {
    let CodeField { name, label, rows, example, text, language, problem } = field;
    let problem_id = problem.map(|_| format!("{name}-problem"));
    let is_sql = *language == CodeLanguage::Sql;
    html! {
        div.field data-module=(EDITOR.address()) data-language=(if is_sql { "sql" } else { "yaml" })
            data-schema=[is_sql.then_some("live/schema")] {
            label id={ (name) "-label" } for=(name) { (label) }
            textarea.sql id=(name) name=(name) rows=(rows) required spellcheck="false" autocapitalize="off" autocomplete="off"
                wrap=[(!is_sql).then_some("off")] aria-describedby=[&problem_id] placeholder=(example) { "\n" (text) }
            @if let Some(problem) = problem { span.problem id=[&problem_id] { (shown(problem)) } }
        }
    }
}
