//! Grants in the trail: each token that is shown is verified anew, under the key that must have
//! signed it and within the grant above it, and compared with what its leaf says.

use super::{Code, Disclosed, Place, Verifier, bytes};
use crate::grant::{Grant, check_link};

impl Verifier {
    /// Verifies a grant's leaf. Without its token, or that of a grant above it, only the leaf
    /// itself can be checked: it is counted and no fault.
    pub(super) fn grant_leaf(
        &mut self,
        place: &Place,
        get: &dyn Fn(&str) -> Option<Vec<u8>>,
        values: &[Disclosed<'_>],
    ) {
        let digest = |key: &str| {
            let held = get(key)?;
            <[u8; 32]>::try_from(bytes::raw(&held)?).ok()
        };
        let Some(stated) = digest("digest") else {
            self.fault(Code::BadLeaf, place.clone(), "`digest` is not 32 bytes");
            return;
        };
        if digest("parent").is_some_and(|above| !self.knows_grant(&above)) {
            let what = "the grant above it does not stand before it";
            self.fault(Code::GrantInvalid, place.clone(), what);
            return;
        }
        let issuer = match digest("parent") {
            None => Some("authority"),
            Some(above) => self.holder_of(&above),
        };
        let said = get("issuer");
        if said.as_deref().is_some_and(|said| bytes::text(said) != issuer) {
            let what = "its `issuer` is not who holds the grant above it, nor the authority";
            self.fault(Code::GrantMismatch, place.clone(), what);
            return;
        }
        let shown = values.iter().find(|value| value.field == "token");
        let Some(token) = shown.and_then(|value| bytes::text(value.value)) else {
            self.report.grants_unverified += 1;
            return;
        };
        let authority_id = self.authority.id();
        let (verified, parent) = match digest("parent") {
            None => (Grant::verify(token, &self.root, &authority_id, true), None),
            Some(above) => {
                let Some(parent) = self.signed_grant(&above) else {
                    self.report.grants_unverified += 1;
                    return;
                };
                let key = parent.holder.key;
                (Grant::verify(token, &key, &authority_id, false), Some((above, parent)))
            }
        };
        let within = verified.and_then(|grant| {
            if let Some((digest, parent)) = &parent {
                check_link(digest, parent, &grant.payload)?;
            }
            Ok(grant)
        });
        let grant = match within {
            Ok(grant) => grant,
            Err(error) => {
                let what = format!("the grant does not hold: {}: {error}", error.code());
                self.fault(Code::GrantInvalid, place.clone(), &what);
                return;
            }
        };
        let payload = &grant.payload;
        let text = |key: &str| {
            let held = get(key)?;
            bytes::text(&held).map(str::to_owned)
        };
        let same = grant.digest == stated
            && text("grant") == Some(payload.id.to_string())
            && digest("parent") == payload.parent
            && text("human") == Some(payload.human.to_string())
            && text("agent") == Some(payload.holder.agent.to_string())
            && text("task") == Some(payload.task.id.to_string())
            && get("depth").as_deref().and_then(bytes::integer) == Some(payload.depth.into())
            && get("from").as_deref().and_then(bytes::micros) == Some(payload.iat)
            && get("until").as_deref().and_then(bytes::micros) == Some(payload.exp);
        if !same {
            let what = "the leaf says something else than the grant that was signed";
            self.fault(Code::GrantMismatch, place.clone(), what);
            return;
        }
        self.report.grants_verified += 1;
        self.remember(&grant.digest, grant.payload);
    }
}
