//! Humans: the accountable.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Change, ERASED, Put, RegistryError, Sealer, State, check_text, draft};
use crate::canonical::Value;
use crate::keys::{Owner, random};
use crate::principal::{Assurance, HumanId};
use crate::store::Store;
use crate::trail::entry::kind;

const PREFIX: &[u8] = b"h/";

/// A human.
#[derive(Debug, Clone, PartialEq)]
pub struct Human {
    /// The id.
    pub id: HumanId,
    /// The name at the issuer, such as an e-mail address; `(erased)` after an erasure.
    pub account: String,
    /// Who vouches for the account: `local`, `os`, or an identity provider's URL.
    pub issuer: String,
    /// A name for people.
    pub name: Option<String>,
    /// How sure we are.
    pub assurance: Assurance,
    /// When they were registered, in microseconds.
    pub registered_at: i64,
    /// Whether they have left.
    pub offboarded: bool,
}

impl Human {
    /// What people call them.
    #[must_use]
    pub fn display(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.account)
    }
}

/// What is said of a human when they are registered.
#[derive(Debug, Clone)]
pub struct NewHuman<'a> {
    /// The name at the issuer.
    pub account: &'a str,
    /// Who vouches for the account.
    pub issuer: &'a str,
    /// A name for people.
    pub name: Option<&'a str>,
    /// How sure we are.
    pub assurance: Assurance,
    /// Who registers them; themselves if absent.
    pub by: Option<HumanId>,
}

#[derive(Serialize, Deserialize)]
struct Clear {
    assurance: Assurance,
    registered_at: i64,
    offboarded: bool,
    #[serde(with = "super::records::base64")]
    sealed: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Personal {
    account: String,
    issuer: String,
    name: Option<String>,
}

impl Personal {
    fn erased(id: &HumanId) -> Self {
        Self { account: ERASED.to_owned(), issuer: id.to_string(), name: None }
    }
}

fn key(id: &HumanId) -> Vec<u8> {
    [PREFIX, id.as_bytes()].concat()
}

impl State {
    /// A human by account and issuer.
    #[must_use]
    pub fn account(&self, account: &str, issuer: &str) -> Option<&Arc<Human>> {
        let id = self.accounts.get(&(issuer.to_owned(), account.to_owned()))?;
        self.humans.get(id)
    }

    /// Registers a human. The account of one who left is another human from here on: nothing of
    /// the old one comes back.
    ///
    /// # Errors
    /// `Invalid` for empty or overlong text, `Illegal` if the account is known already.
    pub fn register_human(
        &mut self,
        new: &NewHuman<'_>,
        at: i64,
        sealer: &mut Sealer<'_>,
    ) -> Result<(Arc<Human>, Change), RegistryError> {
        check_text("the account", new.account, 320)?;
        check_text("the issuer", new.issuer, 2_000)?;
        if let Some(name) = new.name {
            check_text("the name", name, 320)?;
        }
        if let Some(known) = self.account(new.account, new.issuer) {
            return Err(RegistryError::Illegal(format!(
                "`{}` is registered already, as {id}; take that one: engine.humans.get(\"{id}\"), or its id on the command line",
                new.account,
                id = known.id,
            )));
        }
        let human = Arc::new(Human {
            id: HumanId::from_bytes(random()?),
            account: new.account.to_owned(),
            issuer: new.issuer.to_owned(),
            name: new.name.map(str::to_owned),
            assurance: new.assurance,
            registered_at: at,
            offboarded: false,
        });
        let owner = Owner::human(human.id);
        let record = encode(&human, sealer)?;
        let mut puts = sealer.take_made();
        puts.push(Put::Set(key(&human.id), record));
        let draft = draft(kind::IDENTITY)?
            .with("action", Value::str("registered"))
            .with("human", Value::str(&human.id.to_string()))
            .with("by", Value::str(&new.by.unwrap_or(human.id).to_string()))
            .with("assurance", Value::str(human.assurance.word()))
            .beside("account", Value::str(&human.account), &owner)
            .beside("issuer", Value::str(&human.issuer), &owner)
            .beside("name", human.name.as_deref().map_or(Value::Null, Value::str), &owner);
        self.insert_human(human.clone());
        self.changed();
        Ok((human, Change { draft, puts }))
    }

    /// Marks a human as gone: their account is free, every chain of theirs is denied.
    pub(super) fn leave(
        &mut self,
        id: &HumanId,
        sealer: &mut Sealer<'_>,
    ) -> Result<Vec<Put>, RegistryError> {
        let known = self
            .humans
            .get(id)
            .ok_or_else(|| RegistryError::NotFound { kind: "human", name: id.to_string() })?;
        let human = Arc::new(Human { offboarded: true, ..(**known).clone() });
        let record = encode(&human, sealer)?;
        let mut puts = sealer.take_made();
        puts.push(Put::Set(key(id), record));
        self.accounts.remove(&(human.issuer.clone(), human.account.clone()));
        self.humans.insert(*id, human);
        self.changed();
        Ok(puts)
    }

    /// Forgets what is known of a human who has left: names go, ids and states stay. What the
    /// store has of it is not touched here.
    ///
    /// # Errors
    /// `NotFound`, or `Illegal` for a human who is still here.
    pub fn forget_human(
        &mut self,
        id: &HumanId,
        sealer: &mut Sealer<'_>,
    ) -> Result<Vec<Put>, RegistryError> {
        let known = self
            .humans
            .get(id)
            .ok_or_else(|| RegistryError::NotFound { kind: "human", name: id.to_string() })?;
        if !known.offboarded {
            return Err(RegistryError::Illegal(format!(
                "`{}` is still here, so agents may act for them; offboard them first",
                known.display()
            )));
        }
        let Personal { account, issuer, name } = Personal::erased(id);
        let human = Human { account, issuer, name, ..(**known).clone() };
        self.humans.insert(*id, Arc::new(human));
        let puts = self.forget_agents(id, sealer)?;
        self.halts.forget(id);
        self.rules.forget(id);
        self.changed();
        Ok(puts)
    }

    fn insert_human(&mut self, human: Arc<Human>) {
        if !human.offboarded {
            self.accounts.insert((human.issuer.clone(), human.account.clone()), human.id);
        }
        self.humans.insert(human.id, human);
    }
}

fn encode(human: &Human, sealer: &mut Sealer<'_>) -> Result<Vec<u8>, RegistryError> {
    let personal = Personal {
        account: human.account.clone(),
        issuer: human.issuer.clone(),
        name: human.name.clone(),
    };
    let text = super::records::json(&personal)?;
    let name = format!("human/{}", human.id);
    let clear = Clear {
        assurance: human.assurance,
        registered_at: human.registered_at,
        offboarded: human.offboarded,
        sealed: sealer.seal(&Owner::human(human.id), &text, &name)?,
    };
    Ok(super::records::json(&clear)?.into_bytes())
}

pub(super) fn load(
    state: &mut State,
    store: &dyn Store,
    sealer: &Sealer<'_>,
) -> Result<(), RegistryError> {
    super::records::each(store, PREFIX, |rest, value| {
        let id = HumanId::from_bytes(rest.try_into().map_err(|_| super::records::damaged())?);
        let clear: Clear = super::records::parse(value)?;
        let opened = sealer.open(&Owner::human(id), &clear.sealed, &format!("human/{id}"))?;
        let personal = match opened {
            Some(text) => super::records::parse(text.as_bytes())?,
            None => Personal::erased(&id),
        };
        state.insert_human(Arc::new(Human {
            id,
            account: personal.account,
            issuer: personal.issuer,
            name: personal.name,
            assurance: clear.assurance,
            registered_at: clear.registered_at,
            offboarded: clear.offboarded,
        }));
        Ok(())
    })
}
