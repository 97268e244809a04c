//! The operations that labels, packs, saved queries and users have in common.

use sea_orm::ConnectionTrait;

use super::access::{Permission, Principal};
use super::changes::{Changes, Draft};
use super::guard::GuardedSql;
use super::listing::{Listed, Listing};
use super::{Error, Fleet, Problem, Result, sql};
use crate::store::Tx;
use crate::store::named::{self, NamedTable};

/// An object that was created or edited.
#[derive(Debug)]
pub struct Made<V> {
    pub view: V,
    /// What is valid in it, and probably a mistake.
    pub warnings: Vec<Problem>,
}

impl<V> From<V> for Made<V> {
    fn from(view: V) -> Self {
        Self { view, warnings: Vec::new() }
    }
}

/// A kind of object that operators list, show, create, edit and delete.
pub trait Resource {
    /// An object as it is shown.
    type View;
    /// What an object is created from.
    type New;
    /// The fields to change.
    type Edit;

    fn of(fleet: &Fleet) -> Self;

    /// # Errors
    /// [`Error::Forbidden`] to users without the permission to read.
    async fn list(&self, principal: &Principal, listing: &Listing) -> Result<Vec<Self::View>>;

    /// # Errors
    /// [`Error::NotFound`], and [`Error::Forbidden`] to users without the permission to read.
    async fn by_id(&self, principal: &Principal, id: i64) -> Result<Self::View>;

    /// # Errors
    /// [`Error::Invalid`] for wrong contents, [`Error::AlreadyExists`] if the name is taken, [`Error::Forbidden`] to users
    /// without the permission to write.
    async fn create(&self, principal: &Principal, new: &Self::New) -> Result<Made<Self::View>>;

    /// Changes the fields that `edit` has.
    ///
    /// # Errors
    /// As for [`Resource::create`], and [`Error::NotFound`].
    async fn edit(&self, principal: &Principal, id: i64, edit: &Self::Edit) -> Result<Made<Self::View>>;

    /// # Errors
    /// [`Error::NotFound`], [`Error::Invalid`] for an object that has to stay, [`Error::Forbidden`] to users without the
    /// permission to write.
    async fn delete(&self, principal: &Principal, id: i64) -> Result<()>;
}

/// A resource whose objects have unique names.
pub trait NamedResource: Resource {
    /// As [`Resource::delete`], by name.
    ///
    /// # Errors
    /// The same.
    async fn delete_named(&self, principal: &Principal, name: &str) -> Result<()>;
}

/// The parts of a named resource that differ from kind to kind; every write goes through [`Changes`].
pub trait PlanResource: Sized {
    /// The word for the resource in errors.
    const KIND: &'static str;
    const READ: Permission;
    const WRITE: Permission = Permission::WriteSchedule;
    type Row: Listed;
    type Table: NamedTable<Model = Self::Row>;
    /// A new object, checked.
    type Spec;
    type View;
    type Input;

    fn new(changes: Changes) -> Self;
    fn changes(&self) -> &Changes;

    /// The rows that operators may see.
    async fn all(db: &impl ConnectionTrait) -> Result<Vec<Self::Row>> {
        Ok(named::all::<Self::Table>(db).await?)
    }

    async fn find(db: &impl ConnectionTrait, id: i64) -> Result<Option<Self::Row>> {
        Ok(named::by_id::<Self::Table>(db, id).await?)
    }

    async fn find_named(db: &impl ConnectionTrait, name: &str) -> Result<Option<Self::Row>> {
        Ok(named::by_name::<Self::Table>(db, name).await?)
    }

    async fn show(&self, principal: &Principal, rows: Vec<Self::Row>) -> Result<Vec<Self::View>>;

    /// Waits until [`PlanResource::show`] can answer. Asked before anything is changed.
    ///
    /// # Errors
    /// [`Error::Unavailable`] while the server still starts.
    async fn can_show(&self) -> Result<()> {
        Ok(())
    }

    /// The SQL of an object, to be doubted when it is created or edited.
    fn sql(_: &Self::View) -> Option<&str> {
        None
    }

    /// The SQL of an input, if it has any.
    fn new_sql(_: &Self::Input) -> Option<&str> {
        None
    }

    /// Checks a new object before the transaction begins.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    fn check_new(input: &Self::Input) -> Result<Self::Spec>;

    /// Inserts a new object and records the activity; gives the id.
    async fn insert(
        draft: &mut Draft<'_>,
        principal: &Principal,
        spec: &Self::Spec,
        input: &Self::Input,
    ) -> Result<i64>;

    /// Changes an object and records the activity, unless nothing differs.
    async fn update(draft: &mut Draft<'_>, old: Self::Row, input: &Self::Input) -> Result<()>;

    /// Deletes an object and records the activity.
    async fn remove(draft: &mut Draft<'_>, row: Self::Row) -> Result<()>;
}

impl<T: PlanResource> Resource for T {
    type View = T::View;
    type New = T::Input;
    type Edit = T::Input;

    fn of(fleet: &Fleet) -> Self {
        Self::new(fleet.changes.clone())
    }

    async fn list(&self, principal: &Principal, listing: &Listing) -> Result<Vec<T::View>> {
        principal.may(T::READ)?;
        let rows = T::all(self.changes().reader()).await?;
        self.show(principal, listing.page(rows)).await
    }

    async fn by_id(&self, principal: &Principal, id: i64) -> Result<T::View> {
        principal.may(T::READ)?;
        let row = existing::<T>(self.changes().reader(), id).await?;
        self.show(principal, vec![row]).await?.pop().ok_or_else(|| Error::no_such(T::KIND, id))
    }

    async fn create(&self, principal: &Principal, new: &T::Input) -> Result<Made<T::View>> {
        principal.may_change(T::WRITE)?;
        let spec = T::check_new(new)?;
        self.can_show().await?;
        let lacks = check_schema::<T>(self, new).await?;
        let insert = async |draft: &mut Draft<'_>| T::insert(draft, principal, &spec, new).await;
        let (id, mut warnings) = self.changes().make_and_warn(principal, insert).await?;
        warnings.extend(lacks);
        Ok(with_doubt::<T>(self.by_id(principal, id).await?, warnings))
    }

    async fn edit(&self, principal: &Principal, id: i64, edit: &T::Input) -> Result<Made<T::View>> {
        principal.may_change(T::WRITE)?;
        self.can_show().await?;
        let lacks = check_schema::<T>(self, edit).await?;
        let update = async |draft: &mut Draft<'_>| {
            let old = existing::<T>(draft.tx, id).await?;
            T::update(draft, old, edit).await
        };
        let ((), mut warnings) = self.changes().make_and_warn(principal, update).await?;
        warnings.extend(lacks);
        Ok(with_doubt::<T>(self.by_id(principal, id).await?, warnings))
    }

    async fn delete(&self, principal: &Principal, id: i64) -> Result<()> {
        delete_one(self, principal, async |tx| existing::<T>(tx, id).await).await
    }
}

impl<T: PlanResource> NamedResource for T {
    async fn delete_named(&self, principal: &Principal, name: &str) -> Result<()> {
        let missing = || Error::NotFound { kind: T::KIND, key: name.to_owned() };
        delete_one(self, principal, async |tx| T::find_named(tx, name).await?.ok_or_else(missing)).await
    }
}

async fn check_schema<T: PlanResource>(resource: &T, input: &T::Input) -> Result<Vec<Problem>> {
    let asked = T::new_sql(input).map(|sql| GuardedSql::saved(sql.to_owned(), "query".to_owned()));
    resource.changes().check_schema(asked.into_iter().collect()).await
}

fn with_doubt<T: PlanResource>(view: T::View, mut warnings: Vec<Problem>) -> Made<T::View> {
    warnings.extend(T::sql(&view).and_then(sql::doubt).map(|reason| Problem::new("query", reason)));
    Made { view, warnings }
}

async fn delete_one<T: PlanResource>(
    resource: &T,
    principal: &Principal,
    find: impl AsyncFn(&Tx) -> Result<T::Row>,
) -> Result<()> {
    principal.may_change(T::WRITE)?;
    let remove = async |draft: &mut Draft<'_>| {
        let row = find(draft.tx).await?;
        T::remove(draft, row).await
    };
    resource.changes().make(principal, false, remove).await
}

/// The row of this id.
///
/// # Errors
/// [`Error::NotFound`].
pub(super) async fn existing<T: PlanResource>(db: &impl ConnectionTrait, id: i64) -> Result<T::Row> {
    T::find(db, id).await?.ok_or_else(|| Error::no_such(T::KIND, id))
}

/// Refuses a name that another row of the table has.
///
/// # Errors
/// [`Error::AlreadyExists`].
pub(super) async fn check_name_free<T: PlanResource>(draft: &Draft<'_>, name: &str, own_id: Option<i64>) -> Result<()> {
    check_free(T::KIND, name, named::by_name::<T::Table>(draft.tx, name).await?, own_id)
}

/// Refuses a name that another object has; `found` is the object of this name.
///
/// # Errors
/// [`Error::AlreadyExists`].
pub(super) fn check_free<R: Listed>(
    kind: &'static str,
    name: &str,
    found: Option<R>,
    own_id: Option<i64>,
) -> Result<()> {
    match found {
        Some(other) if Some(other.id()) != own_id => Err(Error::AlreadyExists { kind, name: name.to_owned() }),
        _ => Ok(()),
    }
}
