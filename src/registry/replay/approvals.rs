//! Approvals: what was asked, what a human answered, what ended.

use std::collections::HashMap;

use super::{Leaf, Said, differs, each};
use crate::canonical::{Digest, Raw};
use crate::principal::ApprovalId;
use crate::registry::approvals::{ANSWERED, ASKED};
use crate::registry::{Approval, Purpose, Stage, State, closed_key};
use crate::store::{Store, StoreError};

#[derive(Debug, Default)]
pub(super) struct Told(HashMap<ApprovalId, ToldApproval>);

#[derive(Debug)]
struct ToldApproval {
    asked: Said,
    asked_at: i64,
    until: i64,
    /// Purpose, human, agent, task, tool, policy and decision, as they stand in the leaf.
    words: [Box<str>; 7],
    root: Digest,
    leaf: Digest,
    answer: Option<ToldAnswer>,
    ended: Option<Said>,
}

#[derive(Debug)]
struct ToldAnswer {
    said: Said,
    yes: bool,
    at: i64,
    by: Box<str>,
    assurance: Box<str>,
}

impl Told {
    pub(super) fn take(&mut self, leaf: &Leaf<'_>) -> Result<(), StoreError> {
        let (id, action) = (leaf.parsed::<ApprovalId>("approval")?, leaf.text("action"));
        if action == "asked" {
            let chain: Vec<Digest> = leaf
                .raw("chain")
                .into_iter()
                .flat_map(Raw::items)
                .filter_map(|item| item.bytes()?.try_into().ok())
                .collect();
            let (Some(root), Some(last)) = (chain.first(), chain.last()) else {
                return Err(leaf.unreadable("chain"));
            };
            let words = ["purpose", "human", "agent", "task", "tool", "policy", "decision"];
            let told = ToldApproval {
                asked: leaf.said,
                asked_at: leaf.at("at")?,
                until: leaf.at("until")?,
                words: words.map(|key| leaf.text(key).into()),
                root: *root,
                leaf: *last,
                answer: None,
                ended: None,
            };
            self.0.insert(id, told);
            return Ok(());
        }
        let told = self.0.get_mut(&id).ok_or_else(|| leaf.unreadable("approval"))?;
        match action {
            "approved" | "refused" => {
                told.answer = Some(ToldAnswer {
                    said: leaf.said,
                    yes: action == "approved",
                    at: leaf.at("at")?,
                    by: leaf.text("by").into(),
                    assurance: leaf.text("assurance").into(),
                });
            }
            "ended" => told.ended = Some(leaf.said),
            _ => return Err(leaf.unreadable("action")),
        }
        Ok(())
    }

    pub(super) fn compare(
        &self,
        state: &State,
        store: &dyn Store,
        newest: i64,
    ) -> Result<(), StoreError> {
        for open in state.approvals() {
            let approval = &*open.approval;
            let what = match self.0.get(&approval.id) {
                None => "no entry asked for it".to_owned(),
                Some(told) => match told.differs(approval) {
                    Some(what) => what,
                    None => continue,
                },
            };
            return Err(differs(format!("the approval {}", approval.id), what));
        }
        for (id, told) in &self.0 {
            let open = state.approval(id).is_some();
            let over = told.ended.is_some() || told.until <= newest;
            // What was used or has lapsed is kept as closed until long after it ended.
            if !open && !over && store.get(&closed_key(id))?.is_none() {
                let what = format!("it is open since {}, and the record is gone", told.asked);
                return Err(differs(format!("the approval {id}"), what));
            }
        }
        self.places(store, ASKED, "asked for", |told| Some(told.asked))?;
        self.places(store, ANSWERED, "answered", |told| Some(told.answer.as_ref()?.said))
    }

    /// Where approvals were asked for, or answered, as the records have it.
    fn places(
        &self,
        store: &dyn Store,
        prefix: &[u8],
        word: &str,
        said: impl Fn(&ToldApproval) -> Option<Said>,
    ) -> Result<(), StoreError> {
        let mut found = 0;
        each(store, prefix, |rest, value| {
            let id = rest.try_into().map(ApprovalId::from_bytes);
            let id = id.map_err(|_| differs("an approval", "its key is none of an approval"))?;
            let place = value.try_into().map(u64::from_be_bytes).ok();
            let told = self.0.get(&id).and_then(&said);
            if told.is_some() && told.map(|said| said.place) == place {
                found += 1;
                return Ok(());
            }
            let what = match told {
                Some(said) => format!("{said} says that it was {word}, the record names another"),
                None => format!("no entry says that it was {word}"),
            };
            Err(differs(format!("the approval {id}"), what))
        })?;
        if found == self.0.values().filter_map(&said).count() {
            return Ok(());
        }
        for (id, told) in &self.0 {
            if let Some(said) = said(told)
                && store.get(&[prefix, id.as_bytes()].concat())?.is_none()
            {
                let what =
                    format!("{said} says that it was {word}, and the record of that is gone");
                return Err(differs(format!("the approval {id}"), what));
            }
        }
        Ok(())
    }
}

impl ToldApproval {
    /// What the record of an open one says otherwise.
    fn differs(&self, approval: &Approval) -> Option<String> {
        if let Some(ended) = &self.ended {
            return Some(format!("{ended} ended it, the record says that it is open"));
        }
        let stage = match &self.answer {
            None => Stage::Pending,
            Some(answer) if !answer.yes => Stage::Refused,
            // A yes to access is used as it is given.
            Some(_) if approval.purpose == Purpose::Access => Stage::Used,
            Some(_) => Stage::Approved,
        };
        let said = self.answer.as_ref().map_or(self.asked, |answer| answer.said);
        if approval.stage != stage {
            let (trail, record) = (stage.word(), approval.stage.word());
            return Some(format!("by {said} it is {trail}, the record says {record}"));
        }
        let answered = match (&self.answer, &approval.answer) {
            (None, None) => true,
            (Some(told), Some(known)) => {
                told.at == known.at
                    && *told.by == *known.by.to_string()
                    && *told.assurance == *known.assurance.word()
                    && told.said.id == Some(known.entry)
            }
            _ => false,
        };
        let words = [
            approval.purpose.word().to_owned(),
            approval.human.to_string(),
            approval.agent.to_string(),
            approval.task.to_string(),
            approval.tool.clone(),
            approval.policy.clone(),
            approval.decision.map(|id| id.to_string()).unwrap_or_default(),
        ];
        let same = answered
            && self.words.iter().zip(&words).all(|(told, known)| **told == **known)
            && self.root == approval.root
            && self.leaf == approval.leaf
            && self.until == approval.expires_at
            && self.asked_at == approval.asked_at
            && self.asked.id == Some(approval.entry);
        (!same).then(|| format!("the record says otherwise than {}, and {said}", self.asked))
    }
}
