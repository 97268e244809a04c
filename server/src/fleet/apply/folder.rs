//! Applies what the documents folder holds.

use muster_api::rest::Applied;
use serde_json::{Map, Value};

use super::{Applier, ApplyWish, Expected, check_count, parse};
use crate::fleet::access::Principal;
use crate::fleet::changes::Draft;
use crate::fleet::{Error, Result};
use crate::store::settings;

/// What the servers know of the documents folder, before an apply and after it. Both are written with the change, so that of two
/// servers that apply at one time only the first does.
#[derive(Debug)]
pub struct FolderClaim {
    pub before: Option<Value>,
    pub after: Value,
    /// What the activity says of the folder.
    pub details: Map<String, Value>,
}

impl FolderClaim {
    pub(super) async fn take(&self, draft: &Draft<'_>) -> Result<()> {
        if settings::get(draft.tx, settings::DOCUMENTS_FOLDER).await? != self.before {
            return Err(Error::ChangedMeanwhile("what the servers know of the documents folder"));
        }
        Ok(settings::set(draft.tx, settings::DOCUMENTS_FOLDER, &self.after, draft.now).await?)
    }
}

impl Applier {
    /// Applies the documents of the folder, deletes what none of them names, and notes that as what was applied last. When nothing
    /// differs, nothing is written, that note neither.
    ///
    /// # Errors
    /// As for [`Applier::apply`]; [`Error::ChangedMeanwhile`] if another server has been faster.
    pub(in crate::fleet) async fn apply_folder(
        &self,
        principal: &Principal,
        documents: Vec<Value>,
        claim: FolderClaim,
        wish: ApplyWish,
    ) -> Result<Applied> {
        check_count(&documents)?;
        let wish = ApplyWish { delete_unnamed: true, ..wish };
        let expected = Expected { folder: Some(claim), ..Expected::default() };
        Ok(self.run(principal, move || parse::documents(documents), expected, wish).await?.applied)
    }
}
