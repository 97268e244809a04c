use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// Values that many hosts share, such as platforms with versions, each kept once for as long as a host holds it.
#[derive(Debug)]
pub(super) struct SharedValues<T> {
    values: Vec<Option<HeldValue<T>>>,
    by_value: HashMap<Arc<T>, u32>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct HeldValue<T> {
    value: Arc<T>,
    holders: u32,
}

impl<T> Default for SharedValues<T> {
    fn default() -> Self {
        Self { values: Vec::new(), by_value: HashMap::new(), free: Vec::new() }
    }
}

impl<T: Eq + Hash> SharedValues<T> {
    /// Holds a value, and gives the number it goes by.
    pub fn hold(&mut self, value: T) -> u32 {
        if let Some(number) = self.by_value.get(&value) {
            if let Some(held) = &mut self.values[*number as usize] {
                held.holders += 1;
            }
            return *number;
        }
        let value = Arc::new(value);
        let number = self.free.pop().unwrap_or_else(|| {
            self.values.push(None);
            u32::try_from(self.values.len() - 1).unwrap_or(u32::MAX)
        });
        self.by_value.insert(Arc::clone(&value), number);
        self.values[number as usize] = Some(HeldValue { value, holders: 1 });
        number
    }

    /// The value of a number; `None` for one that nobody holds.
    pub fn get(&self, number: u32) -> Option<&T> {
        self.values.get(number as usize)?.as_ref().map(|held| &*held.value)
    }

    /// All values, with their numbers.
    pub fn all(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..).zip(&self.values).filter_map(|(number, held)| Some((number, &*held.as_ref()?.value)))
    }

    /// All values, and how often each is held.
    pub fn held(&self) -> impl Iterator<Item = (&T, u32)> {
        self.values.iter().flatten().map(|held| (&*held.value, held.holders))
    }

    /// Lets go of a value that was held once.
    pub fn release(&mut self, number: u32) {
        let Some(held) = self.values.get_mut(number as usize) else { return };
        let Some(value) = held.as_mut() else { return };
        value.holders -= 1;
        if value.holders == 0 {
            self.by_value.remove(&value.value);
            *held = None;
            self.free.push(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_kept_once_and_goes_with_its_last_holder() {
        let mut values = SharedValues::default();
        let ubuntu = values.hold("ubuntu");
        assert_eq!(values.hold("ubuntu"), ubuntu);
        let darwin = values.hold("darwin");
        assert_ne!(darwin, ubuntu);
        values.release(ubuntu);
        assert_eq!(values.get(ubuntu), Some(&"ubuntu"));
        values.release(ubuntu);
        assert_eq!((values.get(ubuntu), values.get(darwin)), (None, Some(&"darwin")));
        assert_eq!(values.hold("windows"), ubuntu, "the number is free again");
        assert_eq!(values.get(u32::MAX), None);
    }
}
