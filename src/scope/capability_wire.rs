//! The JSON form of capabilities and scopes: strict, in one shape only.

use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Scope;
use super::capability::Capability;
use super::caveat::Caveat;
use super::limit::Limit;
use super::pattern::{ResourcePattern, ToolPattern};
use crate::request::shown;

impl Serialize for Capability {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Entries<'a>(&'a [(Box<str>, Caveat)]);
        impl Serialize for Entries<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_map(self.0.iter().map(|(name, caveat)| (name, caveat)))
            }
        }
        let mut out = serializer.serialize_map(None)?;
        out.serialize_entry("tool", self.tool())?;
        if let Some(patterns) = self.resource() {
            out.serialize_entry("resource", patterns)?;
        }
        if let Some(entries) = self.where_() {
            out.serialize_entry("where", &Entries(entries))?;
        }
        if !self.limits().is_empty() {
            out.serialize_entry("limits", self.limits())?;
        }
        out.end()
    }
}

impl<'de> Deserialize<'de> for Capability {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(CapabilityVisitor)
    }
}

struct CapabilityVisitor;

impl<'de> Visitor<'de> for CapabilityVisitor {
    type Value = Capability;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a capability: an object with `tool` and maybe `resource`, `where`, `limits`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Capability, A::Error> {
        let mut tool: Option<ToolPattern> = None;
        let mut resource: Option<Vec<ResourcePattern>> = None;
        let mut where_: Option<Entries> = None;
        let mut limits: Option<Vec<Limit>> = None;
        while let Some(key) = map.next_key::<String>()? {
            match &*key {
                "tool" if tool.is_none() => tool = Some(map.next_value()?),
                "resource" if resource.is_none() => resource = Some(map.next_value()?),
                "where" if where_.is_none() => where_ = Some(map.next_value()?),
                "limits" if limits.is_none() => {
                    let list: Vec<Limit> = map.next_value()?;
                    if list.is_empty() {
                        return Err(A::Error::custom("no limits are written by leaving them out"));
                    }
                    limits = Some(list);
                }
                _ => {
                    let key = shown(&key);
                    return Err(A::Error::custom(format_args!(
                        "`{key}` is not expected here, or occurs twice"
                    )));
                }
            }
        }
        let tool = tool.ok_or_else(|| A::Error::custom("a capability names its `tool`"))?;
        Capability::new(tool, resource, where_.map(|w| w.0), limits.unwrap_or_default())
            .map_err(A::Error::custom)
    }
}

struct Entries(Vec<(Box<str>, Caveat)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor;
        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object from names to caveats")
            }

            // A name that occurs twice is refused by `Capability::new`.
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some((name, caveat)) = map.next_entry::<String, Caveat>()? {
                    entries.push((name.into(), caveat));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(EntriesVisitor)
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.capabilities().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Vec::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
