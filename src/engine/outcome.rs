//! How an allowed call ended, the entry that says so, and what ended its authority meanwhile.

use std::sync::atomic::Ordering;

use super::call::unrecorded;
use super::describe::{MAX_RECORDED, MAX_TEXT, cut};
use super::{Durability, Engine, Judged};
use crate::authorizer::Standing;
use crate::canonical::Value;
use crate::decision::Reason;
use crate::keys::KeyError;
use crate::principal::EntryId;
use crate::recorder::{Slot, size_of};
use crate::store::StoreError;
use crate::trail::entry::{Draft, Part, kind};

/// How an allowed call ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It returned: the result's canonical form, or its type where it has none.
    Returned(Result<Value, String>),
    /// It raised: the exception's type and text.
    Raised(String, String),
}

impl Engine {
    /// Appends the outcome of an allowed call; answers what must be durable before the result is
    /// released, if anything.
    ///
    /// # Errors
    /// The store's, in the modes that gate the result.
    pub fn finish(
        &self,
        judged: &Judged,
        duration_us: i64,
        outcome: &Outcome,
    ) -> Result<Option<u64>, StoreError> {
        self.metrics.ended(duration_us, outcome);
        let gates = matches!(self.durability, Durability::Strict | Durability::After);
        match self.append_outcome(judged, duration_us, outcome) {
            Ok(upto) => Ok(match self.durability {
                Durability::Strict => Some(upto),
                Durability::After => Some(judged.upto),
                Durability::Before | Durability::Relaxed => None,
            }),
            Err(error) if gates => Err(error),
            Err(error) => {
                tracing::error!(error = %error, "an outcome could not be recorded");
                Ok(None)
            }
        }
    }

    /// What has ended the authority of an allowed call since it was judged, if anything.
    #[must_use]
    pub fn authority_ended(&self, judged: &Judged) -> Option<Reason> {
        let under = judged.under.as_ref()?;
        if let Err(error) = self.check() {
            return unrecorded(&error).decision.reasons.into_iter().next();
        }
        let now = self.clock.stamp();
        if under.epoch == self.epoch.load(Ordering::Acquire) {
            return under.standing.against(&under.chain, &under.tool, now);
        }
        let standing = Standing::of(&under.chain, &*self.state.read(), None);
        standing.against(&under.chain, &under.tool, now)
    }

    fn append_outcome(
        &self,
        judged: &Judged,
        duration_us: i64,
        outcome: &Outcome,
    ) -> Result<u64, StoreError> {
        self.check()?;
        let (Some(decision), Some(owner)) = (judged.entry, &judged.owner) else {
            return Err(StoreError::Closed);
        };
        let key = |error: KeyError| StoreError::Unavailable { what: error.to_string() };
        let id = EntryId::from_bytes(self.random.take().map_err(key)?);
        let mut draft = Draft::new(id, kind::OUTCOME, self.random.take().map_err(key)?)
            .with("decision", Part::Entry(decision))
            .with("duration_us", Value::int(duration_us));
        if self.authority_ended(judged).is_some() {
            draft = draft.with("authority_ended", Value::Bool(true));
        }
        draft = draft.with_some("leases", self.end_leases(judged));
        draft = match outcome {
            Outcome::Returned(result) => {
                let (item, word) = match result {
                    Ok(value) => {
                        let clean = self.redact_value(value);
                        let value = clean.as_ref().unwrap_or(value);
                        if size_of(value) > MAX_RECORDED {
                            let size = i64::try_from(value.encode().len()).unwrap_or(i64::MAX);
                            let size = Value::int(size);
                            (vec![Value::str("large"), size], Part::Word(value.type_word()))
                        } else {
                            (vec![Value::str("keep"), value.clone()], Part::Word(value.type_word()))
                        }
                    }
                    Err(word) => {
                        let word = Value::str(cut(&self.told(word), 256));
                        (vec![Value::str("type")], Part::Value(word))
                    }
                };
                draft.with("status", Part::Word("returned")).with("type", word).beside(
                    "result",
                    Value::List(item),
                    owner,
                )
            }
            Outcome::Raised(word, text) => {
                let clean = self.redact(text);
                let text = clean.as_ref().unwrap_or(text);
                draft
                    .with("status", Part::Word("raised"))
                    .with("type", Value::str(cut(&self.told(word), 256)))
                    .beside("error", Value::str(cut(text, MAX_TEXT)), owner)
            }
        };
        let ((), ticket) = self.recorder.sequence(|slot: &mut Slot<'_>| {
            slot.push(draft, Vec::new());
            Ok::<(), StoreError>(())
        })?;
        Ok(ticket.upto)
    }
}
