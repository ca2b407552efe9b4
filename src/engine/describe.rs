//! What a decision's entry says: fields of the leaf, and the values beside it within their bounds.

use std::borrow::Cow;

use super::masking::{Masking, Recorded};
use super::{Bound, Call, Engine};
use crate::canonical::{Digest, Map, Value, encode_text_into};
use crate::decision::{Decision, Effect, Reason};
use crate::keys::Owner;
use crate::recorder::{Described, size_of, size_of_text};
use crate::request::Request;
use crate::trail::entry::{Draft, Part};

/// The largest recorded value of one argument or result, in bytes of JSON.
pub(super) const MAX_RECORDED: usize = 8 * 1024;
/// The most that a denial's reasons take up, in bytes of JSON.
const MAX_DETAIL: usize = 12 * 1024;
/// The largest recorded text of a resource or exception, in bytes.
pub(super) const MAX_TEXT: usize = 4 * 1024;

impl Engine {
    /// Fills a decision's entry.
    pub(super) fn describe(
        &self,
        call: &Call<'_>,
        masking: &Masking,
        decision: &Decision,
        draft: Draft,
        owner: &Owner,
    ) -> Described {
        let codes = decision.reasons.iter().map(|reason| Value::str(&reason.code)).collect();
        let mut draft = draft;
        match call.bound {
            Some(bound) => {
                let fields = &bound.fields;
                draft = draft
                    .with("human", Part::Encoded(fields.human.clone()))
                    .with("agent", Part::Encoded(fields.agent.clone()))
                    .with("task", Part::Encoded(fields.task.clone()))
                    .with("chain", Part::Encoded(fields.chain.clone()));
            }
            None => draft = draft.with("human", Part::Word("none")),
        }
        draft = draft
            .with("effect", Part::Word(decision.effect.word()))
            .with("reasons", Value::List(codes))
            .with("policy", text(decision.policy_version.clone()))
            .with_some("approval", decision.approval.map(|id| Value::str(&id.to_string())))
            .with_some("policies", names(&decision.policies))
            .with_some("policy_errors", names(&decision.policy_errors))
            .with_some("parent", call.parent.map(Part::Entry));
        // What was allowed was looked at before: no secret stands in its tool's name.
        let named = decision.effect == Effect::Allow || self.secret_in_name(call.tool).is_none();
        match &call.request {
            Ok(request) if named => {
                draft = draft.with("tool", Part::Text(request.tool.shared()));
                let resource = request.resource.as_ref().map(|resource| resource.as_str());
                let digest = self.request_digest(call.bound, request, resource);
                let hidden = request.template.iter().any(|f| masking.how(f) != Recorded::Keep);
                if let Some(resource) = resource.filter(|_| !hidden) {
                    let clean = self.redact(resource);
                    let shown = clean.as_deref().unwrap_or(resource);
                    draft = draft.beside("resource", Value::str(shown), owner);
                }
                let arguments = self.recorded(&request.arguments, call, masking);
                draft = draft.beside("arguments", arguments, owner).beside(
                    "request",
                    Value::bytes(&digest),
                    owner,
                );
                if let Some(own) = request.own.as_deref() {
                    let clean = self.vault.redactor.veil_map(own);
                    let own = clean.unwrap_or_else(|| own.clone());
                    draft = draft.beside("own", Value::Map(own), owner);
                }
            }
            Err(_) if named && crate::request::ToolName::parse(call.tool).is_ok() => {
                draft = draft.with("tool", Value::str(call.tool));
            }
            _ => {
                let clean = self.redact(call.tool);
                draft = draft.with("tool", Value::str("")).beside(
                    "tool",
                    Value::str(cut(clean.as_deref().unwrap_or(call.tool), MAX_TEXT)),
                    owner,
                );
            }
        }
        if decision.effect != Effect::Allow {
            draft = draft.beside("detail", detail(&decision.reasons), owner);
        }
        // The bounds above leave room; should they ever not, the entry itself must stand.
        Described::new(draft, "request")
    }

    fn request_digest(
        &self,
        bound: Option<&Bound>,
        request: &Request,
        resource: Option<&str>,
    ) -> Digest {
        let grant = bound.map_or([0; 32], |bound| bound.chain.leaf().digest);
        let mut arguments = Vec::with_capacity(128);
        for (name, value) in request.arguments.iter() {
            encode_text_into(name, &mut arguments);
            value.encode_into(&mut arguments);
        }
        let mut parts: Vec<&[u8]> = vec![
            &grant,
            request.tool.as_str().as_bytes(),
            resource.unwrap_or_default().as_bytes(),
            &arguments,
        ];
        // A yes to a call is one to it under these attributes.
        let own = request.own.as_deref().map(|own| Value::Map(own.clone()).encode());
        parts.extend(own.as_deref());
        self.ring.request_digest(&parts)
    }

    /// The name of a type or argument, as it is recorded.
    pub(super) fn told<'a>(&self, name: &'a str) -> Cow<'a, str> {
        self.redact(name).map_or(Cow::Borrowed(name), Cow::Owned)
    }

    /// Arguments as they are recorded: `[how, …]` by name.
    pub(super) fn recorded(&self, arguments: &Map, call: &Call<'_>, masking: &Masking) -> Value {
        let clean = self.vault.redactor.veil_map(arguments);
        let arguments = clean.as_ref().unwrap_or(arguments);
        let mut recorded = Map::with_capacity(arguments.len() + call.by_type.len());
        let mut room = 3 * MAX_RECORDED;
        let mut left_out = 0;
        for (name, value) in arguments.iter() {
            // Room is counted as it is taken up in a block.
            let around = size_of_text(cut(name, 256)) + 128;
            if around > room {
                left_out += 1;
                continue;
            }
            room -= around;
            let word = || Value::str(value.type_word());
            let item = match masking.how(name) {
                Recorded::Mask => vec![Value::str("mask"), word()],
                Recorded::Digest => {
                    let digest = self.ring.request_digest(&[name.as_bytes(), &value.encode()]);
                    vec![Value::str("digest"), word(), Value::bytes(&digest)]
                }
                Recorded::Keep => {
                    let value = masking.veil(name, value);
                    let spent = size_of(&value);
                    if spent > MAX_RECORDED.min(room) {
                        let bytes = value.encode();
                        let digest = self.ring.request_digest(&[name.as_bytes(), &bytes]);
                        let size = Value::int(i64::try_from(bytes.len()).unwrap_or(i64::MAX));
                        vec![Value::str("large"), word(), size, Value::bytes(&digest)]
                    } else {
                        room -= spent;
                        vec![Value::str("keep"), value.into_owned()]
                    }
                }
            };
            recorded.insert(cut(name, 256), Value::List(item));
        }
        for (name, word) in call.by_type {
            let (name, word) = (&*self.told(name), &*self.told(word));
            let around = size_of_text(cut(name, 256)) + size_of_text(cut(word, 256)) + 128;
            if around > room {
                left_out += 1;
                continue;
            }
            room -= around;
            let item = vec![Value::str("type"), Value::str(cut(word, 256))];
            recorded.insert(cut(name, 256), Value::List(item));
        }
        if left_out > 0 {
            // The request's digest covers them all the same.
            recorded.insert("", Value::List(vec![Value::str("left_out"), Value::int(left_out)]));
        }
        Value::Map(recorded)
    }
}

/// Text that is known beforehand as it is.
fn text(text: Cow<'static, str>) -> Part {
    match text {
        Cow::Borrowed(word) => Part::Word(word),
        Cow::Owned(text) => Part::Value(Value::Str(text.into_boxed_str())),
    }
}

/// Ids of policies; nothing where there is none, so that a leaf without policies is as it was.
fn names(ids: &[std::sync::Arc<str>]) -> Option<Value> {
    let names = || Value::List(ids.iter().map(|id| Value::str(id)).collect());
    (!ids.is_empty()).then(names)
}

/// A denial's reasons as a value: what the entry tells later.
pub(super) fn detail(reasons: &[Reason]) -> Value {
    let mut room = MAX_DETAIL;
    let items = reasons.iter().take(16).map(|reason| {
        let mut map = Map::new();
        map.insert("code", Value::str(&reason.code));
        map.insert("message", Value::str(cut(&reason.message, MAX_TEXT / 4)));
        if let Some(hop) = reason.hop {
            map.insert("hop", Value::int(i64::try_from(hop).unwrap_or(i64::MAX)));
        }
        if let Some(allowed) = &reason.allowed {
            map.insert("allowed", Value::str(cut(allowed, MAX_TEXT / 4)));
        }
        if let Some(fix) = &reason.fix {
            map.insert("fix", Value::str(cut(fix, MAX_TEXT / 4)));
        }
        Value::Map(map)
    });
    // The first reason decides, and always fits.
    let items = items.take_while(|item| {
        let spent = size_of(item);
        let fits = spent <= room || room == MAX_DETAIL;
        room = room.saturating_sub(spent);
        fits
    });
    Value::List(items.collect())
}

/// The start of a text, at most so many bytes.
pub(super) fn cut(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
