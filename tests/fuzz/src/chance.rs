//! Chance that comes again: mutations for what libFuzzer cannot reach.

/// Numbers by chance (Steele, Lea and Flood's splitmix64).
#[derive(Debug, Clone)]
pub struct Chance(u64);

/// What is put into a text: what literals, JSON and patterns are made of, and what lies at the edge of a type.
const PIECES: [&str; 48] = [
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    ":",
    ",",
    "/",
    "\\",
    "\"",
    "'",
    "-",
    "+",
    ".",
    "*",
    "?",
    "|",
    "^",
    "$",
    "<*>",
    "<",
    ">",
    "=",
    "0",
    "1",
    "-1",
    "1e999",
    "4294967296",
    "9223372036854775808",
    "nan",
    "inf",
    "null",
    "true",
    "e",
    "\\b",
    "\\w",
    "{0,9999}",
    "(?",
    " ",
    "\n",
    "\t",
    "\u{7f}",
    "é",
    "e\u{301}",
    "\u{200d}",
    "😀",
    "\u{fffd}",
];

impl Chance {
    /// The same for the same seed.
    pub fn new(seed: u64) -> Self {
        Chance(seed)
    }

    /// A number below `end`; 0 where that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ bits >> 31) % end.max(1) as u64) as usize
    }

    /// One of some.
    ///
    /// # Panics
    /// Where there is none.
    pub fn of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// The text with a few changes; often none at all, so that what is right is seen too.
    pub fn text(&mut self, text: &str) -> String {
        let mut chars: Vec<char> = text.chars().filter(|&c| c != '\0').collect();
        for _ in 0..self.below(5) {
            let at = self.below(chars.len() + 1);
            let end = at + self.below((chars.len() - at).min(8) + 1);
            match self.below(5) {
                0 => drop(chars.drain(at..end)),
                1 => chars.truncate(at),
                2 => {
                    let again: Vec<char> = chars[at..end].repeat(1 + self.below(3));
                    chars.splice(at..at, again);
                }
                3 => drop(chars.splice(at..end, self.of(&PIECES).chars())),
                _ => drop(chars.splice(at..at, self.of(&PIECES).chars())),
            }
        }
        if self.below(500) == 0 {
            chars = chars.repeat(1 + 20_000 / chars.len().max(1));
        }
        chars.into_iter().collect()
    }

    /// The bytes with a few changes.
    pub fn bytes(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..self.below(4) {
            let at = self.below(bytes.len() + 1);
            match self.below(4) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, self.below(256) as u8),
                _ if at < bytes.len() => {
                    bytes[at] = *self.of(&[0, 1, 0x7f, 0x80, 0xff, self.clone().below(256) as u8]);
                }
                _ => bytes.push(0),
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::Chance;

    #[test]
    fn a_seed_gives_the_same_again_and_changes_something() {
        let texts = |seed| {
            let mut chance = Chance::new(seed);
            (0..50).map(|_| chance.text("{1:0.5}/3")).collect::<Vec<_>>()
        };
        assert_eq!(texts(1), texts(1));
        assert_ne!(texts(1), texts(2));
        assert!(texts(1).iter().any(|text| text == "{1:0.5}/3"));
        assert!(texts(1).iter().filter(|text| *text != "{1:0.5}/3").count() > 20);
    }
}
