//! Passwords that are made up.

/// Letters and digits that are told apart in every font.
const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyzABCDEFGHJKMNPQRSTUVWXYZ23456789";

const GROUPS: usize = 4;
const GROUP: usize = 5;

/// A password of four groups of five letters and digits, such as `k7RwP-…`: some 115 bits, and what the server asks of passwords.
pub fn generate() -> String {
    loop {
        let group =
            || (0..GROUP).map(|_| char::from(LETTERS[rand::random_range(0..LETTERS.len())])).collect::<String>();
        let password = (0..GROUPS).map(|_| group()).collect::<Vec<_>>().join("-");
        if password.contains(|letter: char| letter.is_ascii_digit()) {
            return password;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn passwords_have_a_digit_and_a_symbol_and_differ() {
        let all: HashSet<String> = (0..200).map(|_| generate()).collect();
        assert_eq!(all.len(), 200);
        assert!(
            all.iter().all(|one| one.len() == 23 && one.contains('-') && one.contains(|c: char| c.is_ascii_digit()))
        );
    }
}
