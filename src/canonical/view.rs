//! A map's keys with their values as they are encoded: for reading a few keys of many maps.

use super::decode::{DecodeError, Reader};
use super::tag;

/// One encoded value, not decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raw<'a>(&'a [u8]);

impl<'a> Raw<'a> {
    /// The encoded bytes.
    #[must_use]
    pub fn encoded(self) -> &'a [u8] {
        self.0
    }

    /// The text, if it is text.
    #[must_use]
    pub fn text(self) -> Option<&'a str> {
        let mut reader = self.after(tag::STR)?;
        reader.text().ok()
    }

    /// The bytes, if it is bytes.
    #[must_use]
    pub fn bytes(self) -> Option<&'a [u8]> {
        let mut reader = self.after(tag::BYTES)?;
        let length = reader.varint().ok()?;
        reader.take(length).ok()
    }

    /// The instant in microseconds, if it is one.
    #[must_use]
    pub fn datetime(self) -> Option<i64> {
        Some(i64::from_be_bytes(self.after(tag::DATETIME)?.array().ok()?))
    }

    /// The integer, if it is one that fits.
    #[must_use]
    pub fn integer(self) -> Option<i64> {
        match super::decode(self.0).ok()? {
            super::Value::Int(super::Int::Small(number)) => Some(number),
            _ => None,
        }
    }

    /// The items, if it is a list; nothing if it is not.
    pub fn items(self) -> impl Iterator<Item = Raw<'a>> {
        let (mut reader, count) = match self.after(tag::LIST) {
            Some(mut reader) => {
                let count = reader.varint().unwrap_or(0);
                (reader, count)
            }
            None => (Reader::new(&[]), 0),
        };
        (0..count).map_while(move |_| reader.skip().ok().map(Raw))
    }

    fn after(self, tag: u8) -> Option<Reader<'a>> {
        let (first, rest) = self.0.split_first()?;
        (*first == tag).then(|| Reader::new(rest))
    }
}

/// The keys of an encoded map with their values.
///
/// # Errors
/// Where the bytes are no map; what lies inside its values is not looked at.
pub fn map_view(bytes: &[u8]) -> Result<Vec<(&str, Raw<'_>)>, DecodeError> {
    let mut keys = Vec::with_capacity(24);
    each_key(bytes, &mut |key, raw| keys.push((key, raw)))?;
    Ok(keys)
}

/// Calls `each` with the keys of an encoded map and their values, in their order; also with those
/// before the place where the bytes turn out to be no map.
///
/// # Errors
/// As [`map_view`].
pub fn each_key<'a>(
    bytes: &'a [u8],
    each: &mut impl FnMut(&'a str, Raw<'a>),
) -> Result<(), DecodeError> {
    let mut reader = Reader::new(bytes);
    if reader.byte()? != tag::MAP {
        return Err(reader.wrong("no map"));
    }
    let count = reader.varint()?;
    for _ in 0..count {
        let key = reader.text()?;
        each(key, Raw(reader.skip()?));
    }
    if reader.at != bytes.len() {
        return Err(reader.wrong("bytes follow the value"));
    }
    Ok(())
}

impl<'a> Reader<'a> {
    /// Steps over one value and answers its bytes.
    fn skip(&mut self) -> Result<&'a [u8], DecodeError> {
        let start = self.at;
        // How many values are still to be stepped over; no recursion, so no depth to bound.
        let mut left = 1usize;
        let more = |left: usize, count: usize| left.checked_add(count);
        while left > 0 {
            left -= 1;
            match self.byte()? {
                tag::NULL | tag::FALSE | tag::TRUE => {}
                tag::INT | tag::STR | tag::BYTES | tag::DECIMAL => {
                    let length = self.varint()?;
                    self.take(length)?;
                }
                tag::FLOAT | tag::DATETIME => {
                    self.take(8)?;
                }
                tag::UUID => {
                    self.take(16)?;
                }
                tag::LIST | tag::TUPLE => {
                    let count = self.varint()?;
                    left = more(left, count).ok_or_else(|| self.wrong("a count is too large"))?;
                }
                // Maps nest seldom in what is viewed: their keys have to be told from values.
                tag::MAP => self.skip_map()?,
                tag::ENUM => {
                    for _ in 0..2 {
                        let length = self.varint()?;
                        self.take(length)?;
                    }
                    left = more(left, 1).ok_or_else(|| self.wrong("a count is too large"))?;
                }
                tag::RECORD => {
                    let length = self.varint()?;
                    self.take(length)?;
                    self.skip_map()?;
                }
                _ => return Err(self.wrong("an unknown tag")),
            }
        }
        self.bytes.get(start..self.at).ok_or_else(|| self.wrong("the bytes end early"))
    }

    fn skip_map(&mut self) -> Result<(), DecodeError> {
        self.depth += 1;
        if self.depth > super::MAX_DEPTH + 1 {
            return Err(self.wrong("values nest too deep"));
        }
        let count = self.varint()?;
        for _ in 0..count {
            let length = self.varint()?;
            self.take(length)?;
            self.skip()?;
        }
        self.depth -= 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use proptest::prelude::*;

    use super::super::tests::any_value;
    use super::super::{Map, Value, decode};
    use super::*;

    proptest! {
        #[test]
        fn a_view_shows_what_decoding_shows(
            values in proptest::collection::vec(any_value(), 0..6),
            cut in any::<proptest::sample::Index>(),
        ) {
            let mut map = Map::new();
            for (place, value) in values.iter().enumerate() {
                map.insert(&format!("key{place}"), value.clone());
            }
            let bytes = Value::Map(map.clone()).encode();
            let view = map_view(&bytes).unwrap();
            prop_assert_eq!(view.len(), map.len());
            for ((key, raw), (name, value)) in view.iter().zip(map.iter()) {
                prop_assert_eq!(*key, name);
                prop_assert_eq!(&decode(raw.0).unwrap(), value);
                prop_assert_eq!(raw.text(), value.as_str());
                prop_assert_eq!(raw.bytes(), value.as_bytes());
                prop_assert_eq!(raw.integer(), value.as_i64());
                let items: Vec<Value> = raw.items().map(|item| decode(item.0).unwrap()).collect();
                prop_assert_eq!(items.as_slice(), value.as_list().unwrap_or_default());
            }
            // Bytes that end early are refused, not read past.
            let cut = cut.index(bytes.len());
            prop_assert!(map_view(&bytes[..cut]).is_err());
        }
    }
}
