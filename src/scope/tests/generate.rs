//! Random parts of scopes from a tape of numbers: small vocabularies, so that parts meet.

use crate::canonical::{Decimal, Int, Map, Record, Value};
use crate::request::{Request, Resource, ToolName};
use crate::scope::Scope;
use crate::scope::capability::Capability;
use crate::scope::caveat::{Caveat, Kind};
use crate::scope::limit::Limit;
use crate::scope::pattern::{ResourcePattern, ToolPattern};

/// SplitMix64.
pub(super) struct Tape(pub(super) u64);

const SEGMENTS: [&str; 4] = ["a", "ab", "abc", "b"];
const SEGMENT_PATTERNS: [&str; 8] = ["a", "ab", "abc", "b", "*", "a*", "ab*", "b*"];
const TEXTS: [&str; 26] = [
    "a",
    "ab",
    "abc",
    "a.b",
    "a..b",
    "a b",
    "abcabc",
    "",
    "b",
    "/data",
    "/data/x",
    "/data/x/y",
    "/data/../x",
    "data/x",
    "me@x.com",
    "me@X.com",
    "me@y.com",
    "a,me@x.com",
    "https://x.com/a",
    "http://y.com:8080",
    "https://me@x.com",
    "10.0.0.1",
    "10.1.2.3",
    "::1",
    "fe80::1",
    "a-a",
];
pub(super) const NAMES: [&str; 8] = ["p", "q", "r", "p.f", "p.g", "q.f", "p.f.h", "q.f.h"];
const ARGUMENTS: [&str; 3] = ["p", "q", "r"];
const FIELDS: [&str; 4] = ["f", "g", "h", "f.g"];

impl Tape {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    pub(super) fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    fn join(&mut self, from: &[&str], by: &str) -> String {
        let count = 1 + self.below(3);
        let parts: Vec<&str> = (0..count).map(|_| self.pick(from)).collect();
        parts.join(by)
    }

    pub(super) fn tool(&mut self) -> ToolName {
        ToolName::parse(&self.join(&SEGMENTS, ".")).unwrap()
    }

    pub(super) fn tool_pattern(&mut self) -> ToolPattern {
        let text = match self.below(6) {
            0 => "**".to_owned(),
            1 | 2 => format!("{}.**", self.join(&SEGMENT_PATTERNS, ".")),
            _ => self.join(&SEGMENT_PATTERNS, "."),
        };
        ToolPattern::parse(&text).unwrap()
    }

    fn resource_prefix(&mut self) -> &'static str {
        self.pick(&[
            "",
            "",
            "",
            "id:",
            "path:",
            "path:/",
            "url:https://x.com/",
            "url:https://y.com/",
            "url:http://x.com/",
        ])
    }

    pub(super) fn resource(&mut self) -> Resource {
        let text = format!("{}{}", self.resource_prefix(), self.join(&SEGMENTS, "/"));
        Resource::parse(&text).unwrap()
    }

    pub(super) fn resource_pattern(&mut self) -> ResourcePattern {
        let text = match self.below(9) {
            0 => "**".to_owned(),
            1 => "path:**".to_owned(),
            2 => self.pick(&["url:**", "url:https://**", "url:https://*/a"]).to_owned(),
            3 | 4 => format!("{}**", self.resource_prefix()),
            5 => format!("{}{}/**", self.resource_prefix(), self.join(&SEGMENT_PATTERNS, "/")),
            _ => format!("{}{}", self.resource_prefix(), self.join(&SEGMENT_PATTERNS, "/")),
        };
        ResourcePattern::parse(&text).unwrap()
    }

    pub(super) fn number(&mut self) -> Value {
        let n = self.below(7) as i64 - 2;
        match self.below(6) {
            0..=2 => Value::int(n),
            3 => Value::float(n as f64 / 2.0).unwrap(),
            4 => Value::Decimal(Decimal::parse(&format!("{n}.5")).unwrap()),
            _ => match self.below(4) {
                0 => Value::Int(Int::parse("99999999999999999999").unwrap()),
                1 => Value::Int(Int::parse("-99999999999999999999").unwrap()),
                2 => Value::Decimal(Decimal::parse("0").unwrap()),
                _ => Value::Float(0.0),
            },
        }
    }

    fn items(&mut self, depth: usize) -> Vec<Value> {
        (0..self.below(4)).map(|_| self.value(depth)).collect()
    }

    pub(super) fn value(&mut self, depth: usize) -> Value {
        match self.below(if depth == 0 { 10 } else { 14 }) {
            0..=2 => self.number(),
            3..=6 => Value::str(self.pick(&TEXTS)),
            7 => Value::Bool(self.chance(50)),
            8 => Value::Datetime(self.below(3) as i64),
            9 => self.pick(&[&Value::Null, &Value::Uuid([1; 16]), &Value::bytes(b"ab")]).clone(),
            10 => Value::List(self.items(depth - 1)),
            11 => Value::Tuple(self.items(depth - 1)),
            _ => self.object(depth - 1),
        }
    }

    fn object(&mut self, depth: usize) -> Value {
        let mut map = Map::new();
        for _ in 0..self.below(3) {
            let percent = if self.chance(95) { 3 } else { 4 };
            let key = FIELDS[self.below(percent)];
            let value = self.value(depth);
            map.insert(key, value);
        }
        if self.chance(70) {
            Value::Map(map)
        } else {
            Value::Record(Box::new(Record { type_name: "t.T".into(), fields: map }))
        }
    }

    fn bound(&mut self) -> Value {
        if self.chance(80) { self.number() } else { Value::Datetime(self.below(3) as i64) }
    }

    pub(super) fn caveat(&mut self, depth: usize) -> Caveat {
        loop {
            let made = match self.below(if depth == 0 { 20 } else { 25 }) {
                0 | 1 => Ok(Caveat::any()),
                2 => Ok(Caveat::present()),
                3 => Ok(Caveat::absent()),
                4 => Caveat::equals(self.value(2)),
                5 => Caveat::one_of(self.items(1)),
                6 => Caveat::at_least(self.bound()),
                7 => Caveat::at_most(self.bound()),
                8 => Caveat::between(self.bound(), self.bound()),
                9 => Caveat::starts_with(
                    self.pick(&["a", "ab", "abc", "/", "/data", "/data/", "10."]),
                ),
                10 => Caveat::ends_with(self.pick(&["a", "b", "c", "bc", "abc", "@x.com", ".b"])),
                11 => Caveat::matches(self.pick(&[
                    "*", "a*", "ab*", "*b", "*bc", "a*b", "a.*", "*.b", "*@x.com", "a*.b",
                ])),
                12 => Caveat::email_at(self.pick(&["x.com", "y.com"])),
                13 => {
                    let hosts: Vec<&str> =
                        (0..self.below(3)).map(|_| self.pick(&["x.com", "y.com"])).collect();
                    Caveat::host_in(&hosts)
                }
                14 => Caveat::under(self.pick(&["/", "/data", "/data/x", "data", "a"])),
                15 => Caveat::in_network(self.pick(&[
                    "10.0.0.0/8",
                    "10.0.0.0/24",
                    "0.0.0.0/0",
                    "::/0",
                    "fe80::/10",
                ])),
                16 => {
                    let min = self.below(4) as u64;
                    let max = self.chance(50).then(|| self.below(5) as u64);
                    Caveat::length(min, max)
                }
                17 => Caveat::subset_of(self.items(0)),
                18 => Caveat::contains(self.value(0)),
                19 => Caveat::same_as(self.pick(&NAMES)),
                20 | 21 => Caveat::each(self.caveat(depth - 1)),
                _ => {
                    let parts = (0..1 + self.below(3)).map(|_| self.caveat(depth - 1)).collect();
                    Caveat::all_of(parts)
                }
            };
            if let Ok(made) = made {
                return made;
            }
        }
    }

    /// A caveat that is often within the given one.
    pub(super) fn narrow(&mut self, caveat: &Caveat) -> Caveat {
        if self.chance(10) {
            return self.caveat(2);
        }
        if self.chance(15) {
            return Caveat::all_of(vec![self.caveat(1), caveat.clone()]).unwrap_or(caveat.clone());
        }
        if self.chance(15)
            && let Some(value) = self.sample(caveat)
        {
            return Caveat::equals(value).unwrap();
        }
        let longer = |head: &str, tail: &str| format!("{head}{tail}");
        let made = match &caveat.kind {
            Kind::Any => Ok(self.caveat(2)),
            Kind::OneOf(values) => Caveat::one_of(self.some(values)),
            Kind::SubsetOf(values) => Caveat::subset_of(self.some(values)),
            Kind::AtLeast(low) => Caveat::between(low.clone(), self.bound()),
            Kind::AtMost(high) => Caveat::between(self.bound(), high.clone()),
            Kind::StartsWith(text) if self.chance(50) => Caveat::matches(&longer(text, "b*")),
            Kind::StartsWith(text) => Caveat::starts_with(&longer(text, "b")),
            Kind::EndsWith(text) => Caveat::ends_with(&longer("b", text)),
            Kind::Matches(head, tail) => {
                let (more, less) =
                    (self.pick(&["", "b", ".", "/"]), self.pick(&["", "b", ".", "/"]));
                Caveat::matches(&format!("{head}{more}*{less}{tail}"))
            }
            Kind::HostIn(hosts) => Caveat::host_in(&hosts[..self.below(hosts.len() + 1)]),
            Kind::Each(inner) => Caveat::each(self.narrow(inner)),
            Kind::AllOf(parts) => {
                Caveat::all_of(parts.iter().map(|part| self.narrow(part)).collect())
            }
            Kind::Length(min, max) => Caveat::length(min + self.below(2) as u64, *max),
            _ => Ok(caveat.clone()),
        };
        made.unwrap_or_else(|_| caveat.clone())
    }

    fn some(&mut self, values: &[Value]) -> Vec<Value> {
        values.iter().filter(|_| self.chance(60)).cloned().collect()
    }

    /// A value that the caveat often allows.
    pub(super) fn sample(&mut self, caveat: &Caveat) -> Option<Value> {
        Some(match &caveat.kind {
            Kind::Absent => return None,
            Kind::Any if self.chance(25) => return None,
            Kind::Equals(value) | Kind::AtLeast(value) | Kind::AtMost(value) => value.clone(),
            Kind::Between(low, high) => self.pick(&[low, high]).clone(),
            Kind::OneOf(values) if !values.is_empty() => values[self.below(values.len())].clone(),
            Kind::StartsWith(text) => Value::str(&format!("{text}{}", self.pick(&TEXTS))),
            Kind::EndsWith(text) => Value::str(&format!("{}{text}", self.pick(&TEXTS))),
            Kind::Matches(head, tail) => {
                let middle = self.pick(&["", "b", ".", "a.b", "-", ".."]);
                Value::str(&format!("{head}{middle}{tail}"))
            }
            Kind::EmailAt(domain) if self.chance(30) => {
                Value::str(&format!("a@{}", domain.to_uppercase()))
            }
            Kind::EmailAt(domain) => Value::str(&format!("me@{domain}")),
            Kind::HostIn(hosts) if !hosts.is_empty() => {
                Value::str(&format!("https://{}/", hosts[self.below(hosts.len())]))
            }
            Kind::Under(directory) => {
                let directory = directory.as_str().trim_end_matches('/');
                Value::str(&format!("{directory}/{}", self.pick(&["x", "x/y", "b"])))
            }
            Kind::InNetwork(_) => {
                Value::str(self.pick(&["10.0.0.1", "10.1.2.3", "::1", "fe80::1"]))
            }
            Kind::Each(inner) => {
                let items = (0..self.below(3)).filter_map(|_| self.sample(inner)).collect();
                Value::List(items)
            }
            Kind::SubsetOf(values) => Value::Tuple(self.some(values)),
            Kind::Contains(value) if self.chance(40) => Value::Tuple(vec![value.clone()]),
            Kind::Contains(value) => Value::List(vec![self.value(0), value.clone()]),
            Kind::AllOf(parts) => {
                let at = self.below(parts.len());
                return self.sample(&parts[at]);
            }
            _ => self.value(2),
        })
    }

    fn limit(&mut self) -> Limit {
        let n = 1 + self.below(5) as u64;
        match self.below(3) {
            0 => Limit::calls(n).unwrap(),
            1 => Limit::rate(n, 1 + self.below(2) as u64).unwrap(),
            _ => Limit::total(self.pick(&ARGUMENTS), Value::int(n as i64)).unwrap(),
        }
    }

    fn limits(&mut self, with: bool) -> Vec<Limit> {
        let mut limits: Vec<Limit> = Vec::new();
        for _ in 0..if with { self.below(3) } else { 0 } {
            let limit = self.limit();
            if !limits.iter().any(|own| own.same_meter(&limit)) {
                limits.push(limit);
            }
        }
        limits
    }

    pub(super) fn capability(&mut self, limits: bool) -> Capability {
        let resource = self.chance(60).then(|| {
            let count = if self.chance(5) { 0 } else { 1 + self.below(2) };
            (0..count).map(|_| self.resource_pattern()).collect()
        });
        let where_ = self.chance(80).then(|| {
            let mut entries: Vec<(Box<str>, Caveat)> = Vec::new();
            for _ in 0..self.below(4) {
                let name = self.pick(&NAMES);
                if entries.iter().all(|(own, _)| **own != *name) {
                    entries.push((name.into(), self.caveat(2)));
                }
            }
            entries
        });
        let limits = self.limits(limits);
        Capability::new(self.tool_pattern(), resource, where_, limits).unwrap()
    }

    /// A capability that is often within the given one.
    pub(super) fn narrow_capability(&mut self, parent: &Capability, limits: bool) -> Capability {
        let tool = if self.chance(70) {
            parent.tool().clone()
        } else {
            let text = parent.tool().as_str().replacen('*', "a", 1).replace("a*", "a.b");
            ToolPattern::parse(&text).unwrap_or_else(|_| parent.tool().clone())
        };
        let resource = match parent.resource() {
            None if self.chance(90) => None,
            None => Some(vec![self.resource_pattern()]),
            Some(patterns) => Some(
                patterns
                    .iter()
                    .map(|p| match self.below(4) {
                        0 => self.resource_pattern(),
                        1 => ResourcePattern::parse(&p.as_str().replace("**", "a/*"))
                            .unwrap_or_else(|_| p.clone()),
                        _ => p.clone(),
                    })
                    .filter(|p| parent.resource().unwrap().iter().any(|o| p.within(o)))
                    .collect(),
            ),
        };
        let where_ = match parent.where_() {
            None => self.capability(false).where_().map(<[_]>::to_vec),
            Some(entries) => {
                let mut own: Vec<(Box<str>, Caveat)> = Vec::new();
                for (name, caveat) in entries {
                    if self.chance(if *caveat == Caveat::any() { 60 } else { 98 }) {
                        own.push((name.clone(), self.narrow(caveat)));
                    }
                }
                if self.chance(35) {
                    let name = self.pick(&NAMES);
                    if own.iter().all(|(n, _)| **n != *name) {
                        let absent = self.chance(50);
                        own.push((
                            name.into(),
                            if absent { Caveat::absent() } else { self.caveat(1) },
                        ));
                    }
                }
                Some(own)
            }
        };
        let limits = if limits { parent.limits().to_vec() } else { Vec::new() };
        Capability::new(tool, resource, where_, limits).unwrap()
    }

    pub(super) fn scope(&mut self, limits: bool) -> Scope {
        let count = 1 + self.below(2);
        Scope::new((0..count).map(|_| self.capability(limits)).collect()).unwrap()
    }

    pub(super) fn narrow_scope(&mut self, parent: &Scope, limits: bool) -> Scope {
        let parents = parent.capabilities();
        let mut own = Vec::new();
        for _ in 0..1 + self.below(2) {
            if parents.is_empty() || self.chance(3) {
                own.push(self.capability(limits));
            } else {
                let from = &parents[self.below(parents.len())];
                own.push(self.narrow_capability(from, limits));
            }
        }
        Scope::new(own).unwrap()
    }

    /// A call that the scope often covers.
    pub(super) fn request(&mut self, scope: &Scope) -> Request {
        let capabilities = scope.capabilities();
        let aim = &capabilities[self.below(capabilities.len())];
        let mut segments: Vec<&str> = aim.tool().as_str().split('.').collect();
        if segments.last() == Some(&"**") {
            *segments.last_mut().unwrap() = self.pick(&["a", "a.b"]);
        }
        let tool = segments.join(".").replace('*', self.pick(&["a", "b", "c"]));
        let mut request = Request::new(ToolName::parse(&tool).unwrap(), Map::new());
        let patterns = aim.resource().unwrap_or_default();
        request.resource = if patterns.is_empty() || self.chance(5) {
            self.chance(50).then(|| self.resource())
        } else {
            let pattern = patterns[self.below(patterns.len())].as_str();
            let (first, rest) = match pattern.strip_suffix("**") {
                Some(first) => (first, self.pick(&["a", "b", "a/b", "https://x.com/a", "/a/b"])),
                None => (pattern, ""),
            };
            let filled = format!("{}{rest}", first.replace('*', self.pick(&["a", "b"])));
            Resource::parse(&filled).ok()
        };
        for (name, caveat) in aim.where_().unwrap_or_default() {
            if let Some(value) = self.sample(caveat) {
                put(&mut request.arguments, name, value);
            }
        }
        for (name, caveat) in aim.where_().unwrap_or_default() {
            if let Kind::SameAs(other) = &caveat.kind
                && let Some(value) = crate::scope::name::field(&request.arguments, other).cloned()
            {
                put(&mut request.arguments, name, value);
            }
        }
        if self.chance(30) || aim.where_().is_none() {
            let name = self.pick(&["p", "q", "r", "s", "p.f"]);
            let value = self.value(2);
            request.arguments.insert(name, value);
            match self.below(4) {
                0 => request.template.push(name.into()),
                1 => request.defaulted.push(name.into()),
                _ => {}
            }
        }
        request
    }
}

/// Puts a value where a dotted name says.
fn put(map: &mut Map, name: &str, value: Value) {
    let Some((first, rest)) = name.split_once('.') else {
        map.insert(name, value);
        return;
    };
    let mut inner = map.get(first).and_then(Value::as_map).cloned().unwrap_or_default();
    put(&mut inner, rest, value);
    map.insert(first, Value::Map(inner));
}
