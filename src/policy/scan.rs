//! A look at a policy's text before Cedar's parser sees it: bounds its depth, because parsers,
//! validators and evaluators recurse, and finds what the language does not have yet.

use super::Source;
use super::fault::LoadFault;

/// The largest source, in bytes.
pub const MAX_SOURCE_BYTES: usize = 8 * 1024 * 1024;
/// How deep brackets may nest.
pub const MAX_BRACKETS: usize = 100;
/// How many operators may lie within one another: a condition is at most that deep.
pub const MAX_OPERATORS: usize = 2_000;

/// # Errors
/// What makes the source unfit to be parsed at all.
pub(super) fn scan(source: &Source) -> Result<(), LoadFault> {
    let text = &source.text;
    if text.len() > MAX_SOURCE_BYTES {
        return Err(LoadFault::whole(
            &source.name,
            format!("{} bytes are more than the {MAX_SOURCE_BYTES} a file may have", text.len()),
        )
        .fix("divide it into several files"));
    }
    let mut scanner = Scanner { bytes: text.as_bytes(), at: 0 };
    // Operators in each open bracket since its last comma.
    let mut open: Vec<usize> = vec![0];
    let mut before = "";
    while let Some((start, token)) = scanner.next(text) {
        let deep = |message: String| LoadFault::at(source, start, message);
        match token {
            "(" | "[" | "{" => {
                if token == "{" && before == "temporal" {
                    return Err(deep("temporal conditions are not supported".to_owned())
                        .fix("use a limit of the grant (count, rate, total), or a condition on the context"));
                }
                open.push(0);
                if open.len() > MAX_BRACKETS {
                    return Err(deep(format!("brackets nest more than {MAX_BRACKETS} deep"))
                        .fix("divide the condition among several policies"));
                }
            }
            ")" | "]" | "}" if open.len() > 1 => {
                open.pop();
            }
            "," | ";" => {
                if let Some(top) = open.last_mut() {
                    *top = 0;
                }
            }
            "&&" | "||" | "==" | "!=" | "<" | "<=" | ">" | ">=" | "+" | "-" | "*" | "!" | "."
            | "in" | "like" | "has" | "is" | "if" => {
                if let Some(top) = open.last_mut() {
                    *top += 1;
                }
                if open.iter().sum::<usize>() > MAX_OPERATORS {
                    return Err(deep(format!(
                        "more than {MAX_OPERATORS} operators lie within one another"
                    ))
                    .fix(
                        "use a set and `contains`, or divide the condition among several policies",
                    ));
                }
            }
            _ => {}
        }
        before = token;
    }
    Ok(())
}

/// A look at a schema's text: how deep its types nest, of which the work grows with a power.
///
/// # Errors
/// What makes the source unfit to be parsed at all.
pub(super) fn scan_schema(source: &Source) -> Result<(), LoadFault> {
    let mut scanner = Scanner { bytes: source.text.as_bytes(), at: 0 };
    let mut depth = 0usize;
    while let Some((start, token)) = scanner.next(&source.text) {
        match token {
            "(" | "[" | "{" | "<" => depth += 1,
            ")" | "]" | "}" | ">" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_BRACKETS {
            let message = format!("types nest more than {MAX_BRACKETS} deep");
            return Err(LoadFault::at(source, start, message)
                .fix("name the inner types, and refer to them by their names"));
        }
    }
    Ok(())
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    /// The next token and where it starts; strings and comments are passed over.
    fn next<'t>(&mut self, text: &'t str) -> Option<(usize, &'t str)> {
        loop {
            let byte = *self.bytes.get(self.at)?;
            let following = self.bytes.get(self.at + 1).copied();
            match byte {
                b'/' if following == Some(b'/') => {
                    while self.bytes.get(self.at).is_some_and(|b| *b != b'\n' && *b != b'\r') {
                        self.at += 1;
                    }
                }
                b'"' => {
                    self.at += 1;
                    while let Some(byte) = self.bytes.get(self.at) {
                        self.at += if *byte == b'\\' { 2 } else { 1 };
                        if *byte == b'"' {
                            break;
                        }
                    }
                }
                b if b.is_ascii_alphanumeric() || b == b'_' => {
                    let start = self.at;
                    while self
                        .bytes
                        .get(self.at)
                        .is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_')
                    {
                        self.at += 1;
                    }
                    return Some((start, text.get(start..self.at)?));
                }
                b if b.is_ascii_punctuation() => {
                    let start = self.at;
                    let double = matches!(
                        (b, following),
                        (b'&', Some(b'&'))
                            | (b'|', Some(b'|'))
                            | (b'=' | b'!' | b'<' | b'>', Some(b'='))
                    );
                    self.at += if double { 2 } else { 1 };
                    return Some((start, text.get(start..self.at)?));
                }
                _ => self.at += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn scanned(text: &str) -> Result<(), LoadFault> {
        scan(&Source { name: "a.cedar".to_owned(), text: text.to_owned() })
    }

    #[test]
    fn types_of_a_schema_nest_so_deep_only() {
        let scanned = |text: String| scan_schema(&Source { name: "s.cedarschema".into(), text });
        for (open, close) in [("{a:", "}"), ("Set<", ">"), ("[", "]")] {
            let nested = |n: usize| format!("type X = {}Long{};", open.repeat(n), close.repeat(n));
            assert_eq!(scanned(nested(MAX_BRACKETS)), Ok(()), "{open}");
            let fault = scanned(nested(MAX_BRACKETS + 1)).unwrap_err();
            assert!(fault.message.contains("nest") && fault.suggestion.is_some(), "{fault}");
        }
    }

    #[test]
    fn depth_is_bounded_wherever_it_comes_from() {
        let parts = |n: usize| {
            [
                format!("{}1{}", "(".repeat(n), ")".repeat(n)),
                format!("{}1{}", "[".repeat(n), "]".repeat(n)),
                format!("{}true", "!".repeat(n)),
                format!("context{}", ".a".repeat(n)),
                vec!["context.a"; n].join(" || "),
                format!("{}1", "if true then 1 else ".repeat(n)),
            ]
        };
        for text in parts(10_000) {
            assert!(scanned(&text).is_err(), "{}", text.get(..40).unwrap());
        }
        for text in parts(90) {
            assert!(scanned(&text).is_ok(), "{}", text.get(..40).unwrap());
        }
        // A set of many elements is long, not deep.
        assert!(scanned(&format!("[{}]", vec!["context.a"; 20_000].join(", "))).is_ok());
    }

    #[test]
    fn strings_and_comments_are_no_code() {
        let deep = "(".repeat(10_000);
        assert!(scanned(&format!("\"{deep}\\\"{deep}\" // {deep}\n1")).is_ok());
        assert!(scanned("// when temporal {\n\"when temporal {\"").is_ok());
    }

    #[test]
    fn what_is_not_supported_is_named() {
        let fault = scanned("permit(principal, action, resource)\n  when temporal { true };");
        let fault = fault.unwrap_err();
        assert_eq!((fault.line, fault.column), (2, 17));
        assert_eq!(fault.message, "temporal conditions are not supported");
    }
}
