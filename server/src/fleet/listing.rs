//! Pages of lists that fit into memory.

use std::cmp::Ordering;

use chrono::DateTime;

use super::names::has_part;
use crate::clock::Moment;

/// The filter, order and page of a list.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// A part of the name, in any case.
    pub text: String,
    /// Only rows behind this value of the order.
    pub after: Option<ListValue>,
    pub order: ListOrder,
    pub is_descending: bool,
    /// The number of rows to skip.
    pub offset: u64,
    pub limit: Option<u64>,
}

/// The order of a list; equal rows are in the order of their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ListOrder {
    #[default]
    Id,
    Name,
    CreatedAt,
    UpdatedAt,
}

/// A value that lists are ordered by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListValue {
    Id(i64),
    Name(String),
    Time(Moment),
}

impl ListOrder {
    /// The value that a text stands for, as lists show it. Names are what they are.
    pub fn value(self, text: &str) -> Option<ListValue> {
        match self {
            Self::Id => text.parse().ok().map(ListValue::Id),
            Self::Name => Some(ListValue::Name(text.to_owned())),
            Self::CreatedAt | Self::UpdatedAt => {
                let time = DateTime::parse_from_rfc3339(text).ok()?;
                Some(ListValue::Time(Moment(time.timestamp_micros())))
            }
        }
    }

    fn is_behind(self, row: &impl Listed, value: &ListValue, is_descending: bool) -> bool {
        let order = match (self, value) {
            (Self::Name, ListValue::Name(name)) => row.name().cmp(name),
            (Self::CreatedAt, ListValue::Time(time)) => row.created_at().cmp(time),
            (Self::UpdatedAt, ListValue::Time(time)) => row.updated_at().cmp(time),
            (_, ListValue::Id(id)) => row.id().cmp(id),
            _ => Ordering::Equal,
        };
        order == if is_descending { Ordering::Less } else { Ordering::Greater }
    }
}

/// A row of a list.
pub trait Listed {
    fn id(&self) -> i64;
    fn name(&self) -> &str;
    fn created_at(&self) -> Moment;
    fn updated_at(&self) -> Moment;

    fn has(&self, text: &str) -> bool {
        has_part(self.name(), text)
    }
}

/// Implements [`Listed`] for a row with these four columns.
macro_rules! listed {
    ($model:ty $(, $more:item)?) => {
        impl $crate::fleet::listing::Listed for $model {
            fn id(&self) -> i64 {
                self.id
            }

            fn name(&self) -> &str {
                &self.name
            }

            fn created_at(&self) -> $crate::clock::Moment {
                self.created_at
            }

            fn updated_at(&self) -> $crate::clock::Moment {
                self.updated_at
            }

            $($more)?
        }
    };
}
pub(super) use listed;

impl Listing {
    /// The page of `rows` that was asked for.
    pub(super) fn page<T: Listed>(&self, mut rows: Vec<T>) -> Vec<T> {
        let is_behind =
            |row: &T| self.after.as_ref().is_none_or(|value| self.order.is_behind(row, value, self.is_descending));
        rows.retain(|row| row.has(&self.text) && is_behind(row));
        rows.sort_by(|a, b| {
            let order = match self.order {
                ListOrder::Id => Ordering::Equal,
                ListOrder::Name => a.name().cmp(b.name()),
                ListOrder::CreatedAt => a.created_at().cmp(&b.created_at()),
                ListOrder::UpdatedAt => a.updated_at().cmp(&b.updated_at()),
            }
            .then(a.id().cmp(&b.id()));
            if self.is_descending { order.reverse() } else { order }
        });
        let count = |rows: u64| usize::try_from(rows).unwrap_or(usize::MAX);
        rows.into_iter().skip(count(self.offset)).take(self.limit.map_or(usize::MAX, count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::entity::users;

    fn user(id: i64, name: &str) -> users::Model {
        users::Model {
            id,
            email: format!("{id}@example.com"),
            name: name.to_owned(),
            global_role: users::RoleWord::Observer,
            api_only: false,
            created_at: Moment(10 - id),
            updated_at: Moment(0),
        }
    }

    fn ids(listing: &Listing) -> Vec<i64> {
        let rows = vec![user(3, "Ann"), user(1, "bob"), user(2, "Ann")];
        listing.page(rows).iter().map(|row| row.id).collect()
    }

    #[test]
    fn pages_are_ordered_and_cut() {
        assert_eq!(ids(&Listing::default()), [1, 2, 3]);
        let by_name = Listing { order: ListOrder::Name, ..Listing::default() };
        assert_eq!(ids(&by_name), [2, 3, 1]);
        assert_eq!(ids(&Listing { is_descending: true, ..by_name.clone() }), [1, 3, 2]);
        assert_eq!(ids(&Listing { offset: 1, limit: Some(1), ..by_name }), [3]);
        assert_eq!(ids(&Listing { order: ListOrder::CreatedAt, ..Listing::default() }), [3, 2, 1]);
    }

    #[test]
    fn a_list_goes_on_behind_a_value() {
        let after = |order: ListOrder, is_descending: bool, text: &str| {
            let after = Some(order.value(text).unwrap());
            ids(&Listing { order, is_descending, after, ..Listing::default() })
        };
        assert_eq!(after(ListOrder::Id, false, "1"), [2, 3]);
        assert_eq!(after(ListOrder::Id, true, "3"), [2, 1]);
        assert_eq!(after(ListOrder::Name, false, "Ann"), [1]);
        assert_eq!(after(ListOrder::CreatedAt, false, "1970-01-01T00:00:00.000007Z"), [2, 1]);
        assert_eq!((ListOrder::Id.value("x"), ListOrder::UpdatedAt.value("7")), (None, None));
    }

    #[test]
    fn text_is_looked_for_in_names_and_addresses() {
        assert_eq!(ids(&Listing { text: "aN".to_owned(), ..Listing::default() }), [2, 3]);
        assert_eq!(ids(&Listing { text: "1@EX".to_owned(), ..Listing::default() }), [1]);
    }
}
