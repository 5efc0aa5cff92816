//! Labels as they are compared: one text for each way of writing the same label.

use std::collections::HashMap;
use std::sync::LazyLock;

use ahash::RandomState;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

/// Raised whenever [`fold_label`] gives another text for any text: what was
/// computed of labels is computed anew then.
pub const FOLDING_VERSION: u32 = 1;

static SIMPLIFIED: LazyLock<HashMap<char, char, RandomState>> = LazyLock::new(|| {
    let mut found = HashMap::default();
    for line in include_str!("label/traditional.txt").lines().filter(|line| !line.starts_with('#')) {
        let mut pair = line.chars();
        found.extend(pair.next().zip(pair.next()));
    }
    found
});

/// A label as it is compared: NFKC (full-width forms and ligatures as plain
/// ones), each Traditional character as its Simplified one, trimmed.
///
/// Characters are folded one by one, never by the words they stand in, so that
/// the same label folds alike in every text. Case and inner spaces stay.
pub fn fold_label(text: &str) -> String {
    let text = text.trim();
    if text.is_ascii() {
        return text.to_owned();
    }
    let simplified = |c: char| SIMPLIFIED.get(&c).copied().unwrap_or(c);
    let folded: String = match is_nfkc_quick(text.chars()) {
        IsNormalized::Yes => text.chars().map(simplified).collect(),
        _ => text.nfkc().map(simplified).collect(),
    };
    match folded.trim() {
        whole if whole.len() == folded.len() => folded,
        trimmed => trimmed.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use xxhash_rust::xxh3::xxh3_64;

    use super::*;

    #[test]
    fn one_text_for_each_way_of_writing_a_label() {
        for (written, folded) in [
            ("非常滿意", "非常满意"),
            (" 非常满意　", "非常满意"),
            ("\u{2f32}", "\u{5e72}"),
            ("１０", "10"),
            ("９．５", "9.5"),
            ("Ａ", "A"),
            ("ﬁne", "fine"),
            ("café noir", "café noir"),
            ("cafe\u{301} noir", "café noir"),
            ("沒有 Answer", "没有 Answer"),
            ("準時", "准时"),
            ("\u{feff}", "\u{feff}"),
            ("\u{fffd}", "\u{fffd}"),
            ("", ""),
            ("  ", ""),
        ] {
            assert_eq!(fold_label(written), folded, "{written:?}");
        }
    }

    /// Another table, or another version of Unicode, is another version of the folding.
    #[test]
    fn the_folding_of_every_character_is_that_of_its_version() {
        let all: String = (char::MIN..=char::MAX).map(|c| fold_label(&c.to_string()) + "\n").collect();
        assert_eq!(
            (FOLDING_VERSION, xxh3_64(all.as_bytes())),
            (1, 1_452_067_417_450_810_162),
            "raise FOLDING_VERSION, and pin the new sum"
        );
    }

    #[test]
    fn no_simplified_character_is_folded_again() {
        assert!(SIMPLIFIED.len() > 3000, "{}", SIMPLIFIED.len());
        for (traditional, simplified) in SIMPLIFIED.iter() {
            assert_eq!(fold_label(&simplified.to_string()), simplified.to_string(), "{traditional}");
        }
    }

    proptest! {
        #[test]
        fn folding_twice_is_folding_once(text in "\\PC{0,20}") {
            let once = fold_label(&text);
            prop_assert_eq!(fold_label(&once), once);
        }
    }
}
