//! Names of the characters of ASCII: HTML's named references (HTML, "Named character references")
//! and those of Unicode, as Python's `\N{DIGIT ONE}` has them.

/// The longest name of a character, in bytes.
pub(super) const LONGEST: usize = 22;

/// HTML's names, each ended by a semicolon there.
const REFERENCES: [(&str, u8); 45] = [
    ("AMP", 38),
    ("DiacriticalGrave", 96),
    ("GT", 62),
    ("Hat", 94),
    ("LT", 60),
    ("NewLine", 10),
    ("QUOT", 34),
    ("Tab", 9),
    ("UnderBar", 95),
    ("VerticalLine", 124),
    ("amp", 38),
    ("apos", 39),
    ("ast", 42),
    ("bsol", 92),
    ("colon", 58),
    ("comma", 44),
    ("commat", 64),
    ("dollar", 36),
    ("equals", 61),
    ("excl", 33),
    ("grave", 96),
    ("gt", 62),
    ("lbrace", 123),
    ("lbrack", 91),
    ("lcub", 123),
    ("lowbar", 95),
    ("lpar", 40),
    ("lsqb", 91),
    ("lt", 60),
    ("midast", 42),
    ("num", 35),
    ("percnt", 37),
    ("period", 46),
    ("plus", 43),
    ("quest", 63),
    ("quot", 34),
    ("rbrace", 125),
    ("rbrack", 93),
    ("rcub", 125),
    ("rpar", 41),
    ("rsqb", 93),
    ("semi", 59),
    ("sol", 47),
    ("verbar", 124),
    ("vert", 124),
];

/// Unicode's names of what is no letter or digit.
const CHARACTERS: [(&str, u8); 33] = [
    ("AMPERSAND", 38),
    ("APOSTROPHE", 39),
    ("ASTERISK", 42),
    ("CIRCUMFLEX ACCENT", 94),
    ("COLON", 58),
    ("COMMA", 44),
    ("COMMERCIAL AT", 64),
    ("DOLLAR SIGN", 36),
    ("EQUALS SIGN", 61),
    ("EXCLAMATION MARK", 33),
    ("FULL STOP", 46),
    ("GRAVE ACCENT", 96),
    ("GREATER-THAN SIGN", 62),
    ("HYPHEN-MINUS", 45),
    ("LEFT CURLY BRACKET", 123),
    ("LEFT PARENTHESIS", 40),
    ("LEFT SQUARE BRACKET", 91),
    ("LESS-THAN SIGN", 60),
    ("LOW LINE", 95),
    ("NUMBER SIGN", 35),
    ("PERCENT SIGN", 37),
    ("PLUS SIGN", 43),
    ("QUESTION MARK", 63),
    ("QUOTATION MARK", 34),
    ("REVERSE SOLIDUS", 92),
    ("RIGHT CURLY BRACKET", 125),
    ("RIGHT PARENTHESIS", 41),
    ("RIGHT SQUARE BRACKET", 93),
    ("SEMICOLON", 59),
    ("SOLIDUS", 47),
    ("SPACE", 32),
    ("TILDE", 126),
    ("VERTICAL LINE", 124),
];
const DIGITS: [&str; 10] =
    ["ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE"];

/// The character that a text begins with by its name in HTML, and how long that is.
pub(super) fn reference(text: &[u8]) -> Option<(u8, usize)> {
    let end = text.iter().take(LONGEST + 1).position(|byte| *byte == b';')?;
    let name = text.get(..end)?;
    let (_, byte) = REFERENCES.iter().find(|(known, _)| known.as_bytes() == name)?;
    Some((*byte, end + 1))
}

/// The character of a name in Unicode, in any case.
pub(super) fn character(name: &[u8]) -> Option<u8> {
    let name = std::str::from_utf8(name).ok()?.to_ascii_uppercase();
    let letter = |name: &str| match name.as_bytes() {
        [letter @ b'A'..=b'Z'] => Some(*letter),
        _ => None,
    };
    if let Some(rest) = name.strip_prefix("LATIN SMALL LETTER ") {
        return letter(rest).map(|letter| letter.to_ascii_lowercase());
    }
    if let Some(rest) = name.strip_prefix("LATIN CAPITAL LETTER ") {
        return letter(rest);
    }
    if let Some(rest) = name.strip_prefix("DIGIT ") {
        let digit = DIGITS.iter().position(|digit| *digit == rest)?;
        return u8::try_from(digit).ok().map(|digit| b'0' + digit);
    }
    CHARACTERS.iter().find(|(known, _)| *known == name).map(|(_, byte)| *byte)
}
