//! Statements that differ only in how they are written.

use crate::tokens::{TokenKind, tokens};

/// A text without what makes no difference to SQLite: white space, comments, semicolons at the end, and the case of keywords
/// and of names without quotes. Texts that give the same are the same statement; the same statement may give others, as
/// quotes and brackets are left as they are.
pub fn normalised(sql: &str) -> String {
    let mut tokens = tokens(sql);
    while tokens.last().is_some_and(|token| token.kind == TokenKind::Semicolon) {
        tokens.pop();
    }
    let mut text = String::with_capacity(sql.len());
    for token in tokens {
        if !text.is_empty() {
            text.push(' ');
        }
        match token.kind {
            TokenKind::Word => text.push_str(&token.text.to_ascii_lowercase()),
            TokenKind::Quoted | TokenKind::Text | TokenKind::Semicolon | TokenKind::Symbol => text.push_str(token.text),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_statement_is_written_makes_no_difference() {
        let written = normalised("SELECT pid, Name FROM processes WHERE name='Bash'");
        for same in [
            "select pid,name from processes where name = 'Bash';",
            "SELECT pid, -- the id\n  name /* its name */ FROM Processes\nWHERE name='Bash' ; ;",
        ] {
            assert_eq!(normalised(same), written, "{same}");
        }
        for other in [
            "SELECT pid, name FROM processes WHERE name='bash'",
            "SELECT pid, name FROM processes WHERE name=\"Bash\"",
            "SELECT pid name FROM processes WHERE name='Bash'",
            "SELECT pid, name FROM processes WHERE name=='Bash'",
        ] {
            assert_ne!(normalised(other), written, "{other}");
        }
        assert_eq!(normalised("SELECT 1e5, x'0A', -- end"), "select 1e5 , x'0A' ,");
        assert_eq!(normalised(" ; "), "");
    }
}
