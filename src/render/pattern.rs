//! A text that is the same for all replicas but for a few words: made once, with marks in their place.

/// Begins and ends a mark. A character for private use, which no filter changes; where a setting has it, no pattern
/// is made.
pub const MARK: char = '\u{e000}';

/// A word that differs from replica to replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blank {
    Id,
    Name,
    Title,
    Service,
    Port,
    Spec,
    ConfigHash,
}

const BLANKS: [Blank; 7] = [
    Blank::Id,
    Blank::Name,
    Blank::Title,
    Blank::Service,
    Blank::Port,
    Blank::Spec,
    Blank::ConfigHash,
];

/// What a replica has for each [`Blank`].
pub type Words = [String; BLANKS.len()];

impl Blank {
    pub fn mark(self) -> String {
        format!("{MARK}{}{MARK}", self as usize)
    }
}

/// A text in pieces.
#[derive(Clone, Debug)]
pub struct Pattern {
    first: String,
    rest: Vec<(Blank, String)>,
}

impl Pattern {
    /// What stands between two [`MARK`]s and is none of ours stays as it is.
    pub fn of(text: &str) -> Pattern {
        let mut pieces = text.split(MARK);
        let mut pattern = Pattern {
            first: pieces.next().unwrap_or_default().to_owned(),
            rest: Vec::new(),
        };
        while let Some(number) = pieces.next() {
            let blank = number.parse().ok().and_then(|number: usize| BLANKS.get(number));
            match (blank, pieces.next()) {
                (Some(blank), Some(text)) => pattern.rest.push((*blank, text.to_owned())),
                (_, text) => {
                    let last = pattern
                        .rest
                        .last_mut()
                        .map_or(&mut pattern.first, |(_, text)| text);
                    last.push(MARK);
                    last.push_str(number);
                    if let Some(text) = text {
                        last.push(MARK);
                        last.push_str(text);
                    }
                }
            }
        }
        pattern
    }

    /// The pieces of the text in which these words stand.
    pub fn filled<'a>(&'a self, words: &'a Words) -> impl Iterator<Item = &'a str> + Clone {
        let rest = self.rest.iter();
        let rest = rest.flat_map(|(blank, text)| [words[*blank as usize].as_str(), text]);
        std::iter::once(self.first.as_str()).chain(rest)
    }

    /// The same in one piece.
    pub fn text(&self, words: &Words) -> String {
        let mut text = String::with_capacity(self.filled(words).map(str::len).sum());
        self.filled(words).for_each(|piece| text.push_str(piece));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_with_marks_is_filled_in() {
        let words: Words = std::array::from_fn(|i| format!("<{i}>"));
        let (name, hash) = (Blank::Name.mark(), Blank::ConfigHash.mark());
        let check = |text: &str, expected: &str| {
            let pattern = Pattern::of(text);
            assert_eq!(pattern.text(&words), expected);
        };
        check("", "");
        check("nothing", "nothing");
        check(&format!("{name}={hash}{name};"), "<1>=<6><1>;");
        for (at, blank) in BLANKS.into_iter().enumerate() {
            assert_eq!(blank as usize, at);
        }
    }

    #[test]
    fn marks_of_others_stay() {
        let words: Words = Default::default();
        for text in [
            "\u{e000}",
            "a\u{e000}7\u{e000}b",
            "\u{e000}name\u{e000}",
            "a\u{e000}1",
        ] {
            assert_eq!(Pattern::of(text).text(&words), text);
        }
    }
}
