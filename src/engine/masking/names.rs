//! Names that are those of secrets, told word by word.

/// Words that make a name a secret's.
const WORDS: [&str; 33] = [
    "accesskey",
    "apikey",
    "apikeys",
    "auth",
    "authorization",
    "bearer",
    "cookie",
    "cookies",
    "credential",
    "credentials",
    "cvc",
    "cvv",
    "jwt",
    "jwts",
    "otp",
    "otps",
    "passcode",
    "passphrase",
    "passphrases",
    "passwd",
    "password",
    "passwords",
    "pin",
    "pins",
    "privatekey",
    "pwd",
    "secret",
    "secretkey",
    "secrets",
    "sessionid",
    "token",
    "tokens",
    "totp",
];
/// Two words that do so where one follows the other.
const PAIRS: [(&str, &str); 11] = [
    ("access", "key"),
    ("access", "keys"),
    ("api", "key"),
    ("api", "keys"),
    ("encryption", "key"),
    ("pass", "phrase"),
    ("pass", "word"),
    ("private", "key"),
    ("private", "keys"),
    ("session", "id"),
    ("signing", "key"),
];

/// Whether a name is that of a secret: word by word, in any case and style of writing.
///
/// The words are password, passwd, passphrase, passcode, pwd, pin, otp, totp, cvc, cvv, secret, token,
/// jwt, bearer, cookie, credential, auth, authorization, session id, api key, access key, private
/// key, signing key and encryption key, some in the plural too.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    if name.is_ascii() { is_secret_ascii(name) } else { is_secret_text(name) }
}

/// As [`is_secret_text`], without a copy of each word: nearly all names are ASCII.
fn is_secret_ascii(name: &str) -> bool {
    let bytes = name.as_bytes();
    let word = |from: usize, to: usize| bytes.get(from..to).unwrap_or_default();
    let (mut before, mut start) = (&[][..], 0);
    for (at, byte) in bytes.iter().enumerate() {
        let upper_before = at > 0 && bytes.get(at - 1).is_some_and(u8::is_ascii_uppercase);
        let lower_after = bytes.get(at + 1).is_some_and(u8::is_ascii_lowercase);
        let begins = byte.is_ascii_uppercase() && (!upper_before || lower_after);
        let divides = !byte.is_ascii_alphanumeric();
        if (begins || divides) && start < at {
            if tells_ascii(before, word(start, at)) {
                return true;
            }
            before = word(start, at);
            start = at;
        }
        if divides {
            start = at + 1;
        }
    }
    tells_ascii(before, word(start, bytes.len()))
}

fn tells_ascii(before: &[u8], word: &[u8]) -> bool {
    let digits = word.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let word = word.get(..word.len() - digits).unwrap_or_default();
    let is = |one: &[u8], known: &str| {
        one.len() == known.len() && one.eq_ignore_ascii_case(known.as_bytes())
    };
    WORDS.iter().any(|known| is(word, known))
        || PAIRS.iter().any(|(first, second)| is(word, second) && is(before, first))
}

fn is_secret_text(name: &str) -> bool {
    let mut before = String::new();
    let mut word = String::new();
    let mut chars = name.chars().peekable();
    let mut previous = ' ';
    while let Some(c) = chars.next() {
        let next_is_lower = chars.peek().is_some_and(|next| next.is_lowercase());
        let begins = c.is_uppercase() && (!previous.is_uppercase() || next_is_lower);
        if (begins || !c.is_alphanumeric()) && !word.is_empty() {
            if tells(&before, &word) {
                return true;
            }
            before = std::mem::take(&mut word);
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        previous = c;
    }
    tells(&before, &word)
}

fn tells(before: &str, word: &str) -> bool {
    let word = word.trim_end_matches(|c: char| c.is_ascii_digit());
    WORDS.binary_search(&word).is_ok() || PAIRS.contains(&(before, word))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_read_word_by_word() {
        let secrets = [
            "password",
            "PASSWORD",
            "user_password",
            "userPassword",
            "db-passwd",
            "token",
            "accessToken",
            "API_KEY",
            "apiKey",
            "APIKey",
            "apikey",
            "private_key",
            "client secret",
            "Authorization",
            "credentials",
            "token2",
            "pass_word",
            "X-Api-Key",
            "aws.secret",
            "auth",
            "x-auth",
            "basicAuth",
            "pin",
            "PIN",
            "card_pin",
            "cookie",
            "Set-Cookie",
            "cookies",
            "jwt",
            "otp",
            "otpCode",
            "totp",
            "sessionId",
        ];
        for name in secrets {
            assert!(is_secret(name), "{name}");
        }
        let plain = [
            "tokenize",
            "passenger",
            "secretary",
            "key",
            "monkey",
            "author",
            "authority",
            "oauth_scopes",
            "shipping",
            "pinned",
            "opinion",
            "option",
            "adopt",
            "cookiecutter",
            "session",
            "id",
            "api",
            "keypad",
            "",
            "ключ",
        ];
        for name in plain {
            assert!(!is_secret(name), "{name}");
        }
        let mut sorted = WORDS;
        sorted.sort_unstable();
        assert_eq!(sorted, WORDS, "the search needs them in order");
    }

    proptest! {
        #[test]
        fn the_short_way_reads_names_as_the_long_one(
            name in prop_oneof![
                "[ -~]{0,12}",
                "((api|Api|API|access|KEY|key|Keys|token|TOKEN|pass|Word|id|session|x)[_. -]?[0-9]{0,2}){1,4}",
            ],
        ) {
            prop_assert_eq!(is_secret_ascii(&name), is_secret_text(&name), "{}", name);
        }
    }
}
