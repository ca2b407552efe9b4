//! Canonical bytes back to a value: strict, bounded, total.

use super::{Decimal, EnumMember, Int, MAX_DEPTH, Map, Record, Value, tag};

/// Why bytes are not one canonical value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not canonical at byte {at}: {what}")]
pub struct DecodeError {
    /// The place, in bytes from the start.
    pub at: usize,
    /// What was wrong there.
    pub what: &'static str,
}

/// Decodes exactly one value that fills all of `bytes`.
///
/// # Errors
/// Anything that [`Value::encode`] would not have written, with its place.
pub fn decode(bytes: &[u8]) -> Result<Value, DecodeError> {
    let mut reader = Reader::new(bytes);
    let value = reader.value(0)?;
    if reader.at != bytes.len() {
        return Err(reader.wrong("bytes follow the value"));
    }
    Ok(value)
}

pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    /// How many maps are being stepped over.
    pub(super) depth: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, depth: 0 }
    }

    pub(super) fn wrong(&self, what: &'static str) -> DecodeError {
        DecodeError { at: self.at, what }
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| self.wrong("the bytes end early"))?;
        let taken =
            self.bytes.get(self.at..end).ok_or_else(|| self.wrong("the bytes end early"))?;
        self.at = end;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| self.wrong("the bytes end early"))
    }

    pub(super) fn byte(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn varint(&mut self) -> Result<usize, DecodeError> {
        let mut number = 0u64;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                if shift > 0 && byte == 0 {
                    return Err(self.wrong("a length is not in its shortest form"));
                }
                return usize::try_from(number).map_err(|_| self.wrong("a length is too large"));
            }
        }
        Err(self.wrong("a length is too large"))
    }

    pub(super) fn text(&mut self) -> Result<&'a str, DecodeError> {
        let length = self.varint()?;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map_err(|_| self.wrong("text is not UTF-8"))
    }

    fn items(&mut self, depth: usize) -> Result<Vec<Value>, DecodeError> {
        let count = self.varint()?;
        // Every item takes a byte at least, so a huge count cannot reserve memory.
        let mut items = Vec::with_capacity(count.min(self.bytes.len() - self.at));
        for _ in 0..count {
            items.push(self.value(depth)?);
        }
        Ok(items)
    }

    fn map(&mut self, depth: usize) -> Result<Map, DecodeError> {
        let count = self.varint()?;
        let mut entries: Vec<(Box<str>, Value)> = Vec::new();
        for _ in 0..count {
            let key = self.text()?;
            if entries.last().is_some_and(|(last, _)| last.as_bytes() >= key.as_bytes()) {
                return Err(self.wrong("keys are not in ascending order"));
            }
            entries.push((key.into(), self.value(depth)?));
        }
        Map::from_entries(entries).map_err(|_| self.wrong("a key occurs twice"))
    }

    fn value(&mut self, depth: usize) -> Result<Value, DecodeError> {
        if depth > MAX_DEPTH {
            return Err(self.wrong("values nest too deep"));
        }
        Ok(match self.byte()? {
            tag::NULL => Value::Null,
            tag::FALSE => Value::Bool(false),
            tag::TRUE => Value::Bool(true),
            tag::INT => {
                let length = self.varint()?;
                let bytes = self.take(length)?;
                let number = Int::from_signed_bytes(bytes).filter(|n| n.with_bytes(|b| b == bytes));
                Value::Int(number.ok_or_else(|| self.wrong("an integer is not minimal"))?)
            }
            tag::FLOAT => {
                let bits = u64::from_be_bytes(self.array()?);
                let number = f64::from_bits(bits);
                if !number.is_finite() || (number == 0.0 && bits != 0) {
                    return Err(self.wrong("a float is not canonical"));
                }
                Value::Float(number)
            }
            tag::STR => Value::Str(self.text()?.into()),
            tag::BYTES => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?.into())
            }
            tag::DECIMAL => {
                let text = self.text()?;
                let number = Decimal::parse(text).ok().filter(|n| n.to_string() == text);
                Value::Decimal(number.ok_or_else(|| self.wrong("a decimal is not canonical"))?)
            }
            tag::DATETIME => Value::Datetime(i64::from_be_bytes(self.array()?)),
            tag::UUID => Value::Uuid(self.array()?),
            tag::ENUM => Value::Enum(Box::new(EnumMember {
                type_name: self.text()?.into(),
                name: self.text()?.into(),
                value: self.value(depth + 1)?,
            })),
            tag::LIST => Value::List(self.items(depth + 1)?),
            tag::TUPLE => Value::Tuple(self.items(depth + 1)?),
            tag::MAP => Value::Map(self.map(depth + 1)?),
            tag::RECORD => Value::Record(Box::new(Record {
                type_name: self.text()?.into(),
                fields: self.map(depth + 1)?,
            })),
            _ => return Err(self.wrong("an unknown tag")),
        })
    }
}
