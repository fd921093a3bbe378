//! Places, so many for each machine or whoever else has them: one of them does not keep out the others.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// So many for each machine, unless somebody else is said to have them.
#[derive(Clone, Debug)]
pub(crate) struct Slots<K: Clone + Eq + Hash = IpAddr> {
    each: usize,
    taken: Arc<Mutex<HashMap<K, usize>>>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Slot<K: Clone + Eq + Hash = IpAddr> {
    slots: Slots<K>,
    whose: K,
}

impl Slots {
    /// A place for `peer`; none if its machine has as many as it may have.
    pub(crate) fn take(&self, peer: IpAddr) -> Option<Slot> {
        self.take_of(machine(peer))
    }
}

impl<K: Clone + Eq + Hash> Slots<K> {
    /// None is taken.
    pub(crate) fn new(each: usize) -> Self {
        Self { each, taken: Arc::default() }
    }

    /// A place of these; none if they have as many as they may have.
    pub(crate) fn take_of(&self, whose: K) -> Option<Slot<K>> {
        let mut taken = self.taken();
        let count = taken.entry(whose.clone()).or_default();
        if *count >= self.each {
            return None;
        }
        *count += 1;
        drop(taken);
        Some(Slot { slots: self.clone(), whose })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash> Drop for Slot<K> {
    fn drop(&mut self) {
        let mut taken = self.slots.taken();
        if let Some(count) = taken.get_mut(&self.whose) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.whose);
            }
        }
    }
}

/// A machine has all addresses of its network of 64 bits.
fn machine(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_machine_takes_its_own_places_alone() {
        let slots = Slots::new(2);
        let peer = |text: &str| text.parse::<IpAddr>().expect("an address");
        let one = slots.take(peer("10.0.0.1")).expect("a place");
        let other = slots.take(peer("::ffff:10.0.0.1")).expect("a place");
        assert!(slots.take(peer("10.0.0.1")).is_none());
        assert!(slots.take(peer("10.0.0.2")).is_some(), "others have theirs");
        drop(one);
        assert!(slots.take(peer("10.0.0.1")).is_some());
        drop(other);
        assert!(slots.taken().is_empty());
        let held = ["2001:db8::1", "2001:db8::2"].map(|text| slots.take(peer(text)).expect("a place"));
        assert!(slots.take(peer("2001:db8::3")).is_none(), "a network of 64 bits is one machine");
        assert!(slots.take(peer("2001:db8:0:1::1")).is_some());
        drop(held);
        let of_tokens = Slots::new(1);
        let held = of_tokens.take_of("one".to_owned()).expect("a place");
        assert!(of_tokens.take_of("one".to_owned()).is_none());
        assert!(of_tokens.take_of("other".to_owned()).is_some());
        drop(held);
        assert!(of_tokens.take_of("one".to_owned()).is_some());
    }
}
