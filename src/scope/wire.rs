//! The JSON form of caveats: an object with exactly one key, nothing else.
//!
//! ```text
//! {"equals":V} {"one_of":[V,…]} {"at_least":V} {"at_most":V} {"between":[V,V]}
//! {"starts_with":"t"} {"ends_with":"t"} {"matches":"a*b"} {"email_at":"d"} {"host_in":["h",…]}
//! {"under":"p"} {"in_network":"cidr"} {"length":[min,max|null]} {"each":C} {"subset_of":[V,…]}
//! {"contains":V} {"present":true} {"absent":true} {"any":true} {"all_of":[C,…]} {"same_as":"n"}
//! ```

use std::fmt;

use serde::de::{self, Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::caveat::{Caveat, Kind};
use crate::canonical::Value;
use crate::request::shown;

impl Serialize for Caveat {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(Some(1))?;
        let word = self.word();
        match &self.kind {
            Kind::Any | Kind::Present | Kind::Absent => out.serialize_entry(word, &true)?,
            Kind::Equals(value)
            | Kind::AtLeast(value)
            | Kind::AtMost(value)
            | Kind::Contains(value) => out.serialize_entry(word, value)?,
            Kind::OneOf(values) | Kind::SubsetOf(values) => out.serialize_entry(word, values)?,
            Kind::Between(low, high) => out.serialize_entry(word, &(low, high))?,
            Kind::StartsWith(text)
            | Kind::EndsWith(text)
            | Kind::EmailAt(text)
            | Kind::SameAs(text) => out.serialize_entry(word, text)?,
            Kind::Matches(head, tail) => {
                out.serialize_entry(word, &format!("{head}*{tail}"))?;
            }
            Kind::HostIn(hosts) => out.serialize_entry(word, hosts)?,
            Kind::Under(directory) => out.serialize_entry(word, directory.as_str())?,
            Kind::InNetwork(network) => out.serialize_entry(word, &network.to_string())?,
            Kind::Length(min, max) => out.serialize_entry(word, &(min, max))?,
            Kind::Each(caveat) => out.serialize_entry(word, caveat)?,
            Kind::AllOf(caveats) => out.serialize_entry(word, caveats)?,
        }
        out.end()
    }
}

impl<'de> Deserialize<'de> for Caveat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OneKey)
    }
}

struct OneKey;

impl<'de> Visitor<'de> for OneKey {
    type Value = Caveat;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a caveat: an object with one key")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Caveat, A::Error> {
        let word: String =
            map.next_key()?.ok_or_else(|| A::Error::custom("a caveat has one key, not none"))?;
        let read = match &*word {
            "any" => flag(&mut map, Caveat::any()),
            "present" => flag(&mut map, Caveat::present()),
            "absent" => flag(&mut map, Caveat::absent()),
            "equals" => build(Caveat::equals(map.next_value()?)),
            "one_of" => build(Caveat::one_of(map.next_value()?)),
            "at_least" => build(Caveat::at_least(map.next_value()?)),
            "at_most" => build(Caveat::at_most(map.next_value()?)),
            "between" => {
                let (low, high): (Value, Value) = map.next_value()?;
                build(Caveat::between(low, high))
            }
            "starts_with" => build(Caveat::starts_with(&text(&mut map)?)),
            "ends_with" => build(Caveat::ends_with(&text(&mut map)?)),
            "matches" => build(Caveat::matches(&text(&mut map)?)),
            "email_at" => {
                let domain = text(&mut map)?;
                lower_case(&domain)?;
                build(Caveat::email_at(&domain))
            }
            "host_in" => {
                let hosts: Vec<String> = map.next_value()?;
                hosts.iter().try_for_each(|host| lower_case(host))?;
                build(Caveat::host_in(&hosts))
            }
            "under" => build(Caveat::under(&text(&mut map)?)),
            "in_network" => build(Caveat::in_network(&text(&mut map)?)),
            "length" => {
                let (min, max): (u64, Option<u64>) = map.next_value()?;
                build(Caveat::length(min, max))
            }
            "each" => build(Caveat::each(map.next_value()?)),
            "subset_of" => build(Caveat::subset_of(map.next_value()?)),
            "contains" => build(Caveat::contains(map.next_value()?)),
            "all_of" => build(Caveat::all_of(map.next_value()?)),
            "same_as" => build(Caveat::same_as(&text(&mut map)?)),
            _ => Err(A::Error::custom(format_args!("`{}` is not a caveat", shown(&word)))),
        }?;
        if map.next_key::<String>()?.is_some() {
            return Err(A::Error::custom("a caveat has one key, not more"));
        }
        Ok(read)
    }
}

fn text<'de, A: MapAccess<'de>>(map: &mut A) -> Result<String, A::Error> {
    map.next_value()
}

fn flag<'de, A: MapAccess<'de>>(map: &mut A, caveat: Caveat) -> Result<Caveat, A::Error> {
    match map.next_value()? {
        true => Ok(caveat),
        false => Err(A::Error::custom(format_args!("`{}` is written with `true`", caveat.word()))),
    }
}

fn lower_case<E: de::Error>(text: &str) -> Result<(), E> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(E::custom("a host or domain is written in lower case"));
    }
    Ok(())
}

fn build<T, E: de::Error>(built: Result<T, super::error::ScopeError>) -> Result<T, E> {
    built.map_err(E::custom)
}
