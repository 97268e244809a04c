//! Reading and writing rows that have an id and a unique name, whatever else is in their table.

use sea_orm::sea_query::{Expr, ExprTrait as _, Func};
use sea_orm::{
    ActiveModelBehavior, ActiveModelTrait, ConnectionTrait, EntityTrait, IntoActiveModel, PrimaryKeyTrait, QueryFilter,
    QueryOrder, QuerySelect,
};

use super::{Result, case};

/// A table whose rows have an id and a unique name.
pub trait NamedTable: EntityTrait<PrimaryKey: PrimaryKeyTrait<ValueType = i64>> {
    const NAME: Self::Column;
    /// The order in which [`all`] reads the rows.
    const ORDER: Self::Column = Self::NAME;

    fn name(row: &Self::Model) -> &str;
}

pub async fn all<T: NamedTable>(db: &impl ConnectionTrait) -> Result<Vec<T::Model>> {
    Ok(T::find().order_by_asc(T::ORDER).all(db).await?)
}

pub async fn by_id<T: NamedTable>(db: &impl ConnectionTrait, id: i64) -> Result<Option<T::Model>> {
    Ok(T::find_by_id(id).one(db).await?)
}

/// The row of this name, whose capitals do not matter ([`case`]). An older version may have left several: then the row with
/// exactly this name, or the oldest.
pub async fn by_name<T: NamedTable>(db: &impl ConnectionTrait, name: &str) -> Result<Option<T::Model>> {
    let is_same = Expr::expr(Func::lower(Expr::col(T::NAME))).eq(Func::lower(Expr::val(name)));
    let rows = T::find().filter(is_same).order_by_asc(Expr::col("id")).all(db).await?;
    Ok(case::best(rows, name, T::name))
}

/// Ids and names of rows whose names have this part, whatever its capitals ([`case`]), in the order of the names.
pub async fn with_part<T: NamedTable>(db: &impl ConnectionTrait, part: &str, limit: u64) -> Result<Vec<(i64, String)>> {
    let escaped: String =
        part.chars().flat_map(|char| ['!', char].into_iter().skip(usize::from(!"!%_".contains(char)))).collect();
    // Databases lower more than A to Z, but the same on both sides: they find at least what has the part.
    let sides = [Expr::col(T::NAME), Expr::val(format!("%{escaped}%"))];
    let may_have_part = Expr::cust_with_exprs("LOWER(?) LIKE LOWER(?) ESCAPE '!'", sides);
    let select = T::find().select_only().column_as(Expr::col("id"), "id").column(T::NAME).filter(may_have_part);
    let select = select.order_by_asc(T::NAME).order_by_asc(Expr::col("id"));
    let (mut found, mut read) = (Vec::new(), 0);
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    while found.len() < most {
        let rows: Vec<(i64, String)> = select.clone().offset(read).limit(limit).into_tuple().all(db).await?;
        read += limit;
        let is_last = rows.len() < most;
        found.extend(rows.into_iter().filter(|(_, name)| case::has_part(name, part)));
        if is_last {
            break;
        }
    }
    found.truncate(most);
    Ok(found)
}

/// Inserts a row and gives its id.
pub async fn insert<A>(db: &impl ConnectionTrait, row: A) -> Result<i64>
where
    A: ActiveModelTrait<Entity: NamedTable>,
{
    Ok(A::Entity::insert(row).exec(db).await?.last_insert_id)
}

/// Writes the columns that `row` sets, to the row of its id.
pub async fn update<A>(db: &impl ConnectionTrait, row: A) -> Result<()>
where
    A: ActiveModelTrait<Entity: NamedTable> + ActiveModelBehavior + Send,
    <A::Entity as EntityTrait>::Model: IntoActiveModel<A>,
{
    row.update(db).await?;
    Ok(())
}

/// Deletes a row that nothing refers to; the caller has looked inside this transaction.
pub async fn delete<T: NamedTable>(db: &impl ConnectionTrait, id: i64) -> Result<()> {
    T::delete_by_id(id).exec(db).await?;
    Ok(())
}
