//! What the verifier says of the approvals that decisions cite: of what the engine wrote, and of
//! the same leaves edited by one who holds the keys.

use super::*;
use crate::principal::EntryId;
use crate::trail::entry::Entry;
use crate::trail::verify::{Code, Report, Verifier};

/// The leaves of a trail, to be edited.
struct Leaves {
    world: World,
    all: Vec<Map>,
}

impl Leaves {
    /// A call that was asked for, answered, and made if the answer was yes.
    fn answered(yes: bool) -> Self {
        let world = world();
        let id = world.asked("acme", 80);
        world.engine().answer(&id, yes, world.bob.id, None).unwrap();
        world.pay("acme", 80);
        Self::of(world)
    }

    fn of(world: World) -> Self {
        let mut all = Vec::new();
        let read = &mut |entry: Entry| {
            all.push(entry.fields);
            Ok(true)
        };
        world.engine().each_leaf(read).unwrap();
        Self { world, all }
    }

    fn place(&self, key: &str, word: &str) -> usize {
        let says = |leaf: &Map| leaf.get(key).and_then(Value::as_str) == Some(word);
        self.all.iter().position(says).unwrap()
    }

    fn set(&mut self, place: usize, key: &str, value: &str) {
        self.all[place].insert(key, Value::str(value));
    }

    /// All at one time, in the order in which they now stand.
    fn verified(&mut self) -> Report {
        let now = self.world.now.load(Ordering::SeqCst);
        self.all.iter_mut().for_each(|leaf| leaf.insert("at", Value::Datetime(now)));
        self.report()
    }

    fn report(&self) -> Report {
        let authority = self.world.engine().authority();
        let mut verifier = Verifier::new(&authority, &[]);
        for (index, leaf) in self.all.iter().enumerate() {
            verifier.leaf(index as u64, &Value::Map(leaf.clone()).encode(), &[]);
        }
        verifier.finish()
    }

    /// The one fault, of the code that is meant, and nothing followed but `followed` decisions.
    fn refused(&mut self, followed: u64, what: &str) {
        let report = self.verified();
        let found: Vec<_> = report.faults.iter().map(|f| (f.code, f.what.as_str())).collect();
        assert_eq!(found, [(Code::DecisionApproval, what)]);
        assert_eq!(report.decisions_followed, followed);
    }
}

#[test]
fn a_yes_that_was_given_and_used_once_follows() {
    let mut leaves = Leaves::answered(true);
    let report = leaves.report();
    assert_eq!((report.faults, report.decisions_followed), (vec![], 1));
    assert_eq!(leaves.verified().faults, []);
    let no = Leaves::answered(false).report();
    assert_eq!((no.faults, no.decisions_followed), (vec![], 0));
}

#[test]
fn a_yes_that_nobody_gave_is_found() {
    let mut leaves = Leaves::answered(true);
    leaves.all.remove(leaves.place("action", "approved"));
    leaves.refused(0, "nobody had approved it");
    leaves.all.remove(leaves.place("action", "asked"));
    leaves.refused(0, "the approval that it used was never asked for");
}

#[test]
fn a_yes_after_the_decision_is_found() {
    let mut leaves = Leaves::answered(true);
    let approved = leaves.all.remove(leaves.place("action", "approved"));
    let decision = leaves.place("effect", "allow");
    leaves.all.insert(decision + 1, approved);
    leaves.refused(0, "nobody had approved it");
}

#[test]
fn a_no_that_was_used_is_found() {
    let mut leaves = Leaves::answered(true);
    let answer = leaves.place("action", "approved");
    leaves.set(answer, "action", "refused");
    leaves.refused(0, "the approval that it used was refused");
    // A yes beside it changes nothing.
    let mut yes = leaves.all[answer].clone();
    yes.insert("action", Value::str("approved"));
    yes.insert("id", Value::str(&EntryId::from_bytes([7; 16]).to_string()));
    leaves.all.insert(answer + 1, yes);
    leaves.refused(0, "the approval that it used was refused");
}

#[test]
fn a_yes_that_had_ended_or_expired_is_found() {
    let mut leaves = Leaves::answered(true);
    let answer = leaves.place("action", "approved");
    let mut ended = leaves.all[answer].clone();
    ended.insert("action", Value::str("ended"));
    ended.insert("id", Value::str(&EntryId::from_bytes([7; 16]).to_string()));
    leaves.all.insert(answer + 1, ended);
    leaves.refused(0, "the approval that it used had ended");
    leaves.all.remove(answer + 1);
    let (asked, now) = (leaves.place("action", "asked"), leaves.world.now.load(Ordering::SeqCst));
    leaves.all[asked].insert("until", Value::Datetime(now + 1));
    assert_eq!(leaves.verified().faults, []);
    leaves.all[asked].insert("until", Value::Datetime(now));
    leaves.refused(0, "the approval that it used had expired");
}

#[test]
fn a_yes_that_was_used_twice_is_found() {
    let mut leaves = Leaves::answered(true);
    let decision = leaves.place("effect", "allow");
    let mut again = leaves.all[decision].clone();
    again.insert("id", Value::str(&EntryId::from_bytes([7; 16]).to_string()));
    leaves.all.insert(decision + 1, again);
    leaves.refused(1, "an earlier decision used up its approval");
    // Asking for it and giving it anew does not make it new.
    let (asked, approved) = (leaves.place("action", "asked"), leaves.place("action", "approved"));
    for (offset, from) in [(1, asked), (2, approved)] {
        let mut copy = leaves.all[from].clone();
        copy.insert("id", Value::str(&EntryId::from_bytes([7 + offset; 16]).to_string()));
        leaves.all.insert(decision + usize::from(offset), copy);
    }
    leaves.refused(1, "an earlier decision used up its approval");
}

#[test]
fn a_yes_to_another_call_is_found() {
    let mut leaves = Leaves::answered(true);
    let asked = leaves.place("action", "asked");
    for (key, other) in [("tool", "pay.other"), ("policy", "other")] {
        let before = leaves.all[asked].get(key).unwrap().clone();
        leaves.set(asked, key, other);
        leaves.refused(0, "the approval that it used was asked for another call");
        leaves.all[asked].insert(key, before);
    }
    leaves.set(asked, "purpose", "access");
    leaves.refused(0, "the approval that it used was not asked for a call");
}

#[test]
fn a_version_that_differs_in_its_tools_alone_is_the_same() {
    let set = |texts: [&str; 2]| {
        let mut leaves = Leaves::answered(true);
        for (version, texts) in ["v1", "v2"].into_iter().zip(texts) {
            let draft = crate::registry::draft("policy").unwrap();
            let draft = draft.with("action", Value::str("loaded"));
            let draft = draft.with("policy", Value::str(version)).with("texts", Value::str(texts));
            let Ok(Value::Map(leaf)) = crate::canonical::decode(&draft.leaf(0)) else { panic!() };
            leaves.all.insert(1, leaf);
        }
        let (asked, decided) = (leaves.place("action", "asked"), leaves.place("effect", "allow"));
        leaves.set(asked, "policy", "v1");
        leaves.set(decided, "policy", "v2");
        leaves
    };
    assert_eq!(set(["same", "same"]).verified().faults, []);
    let other = "the approval that it used was asked for another call";
    set(["same", "other"]).refused(0, other);
}
