//! Places for what strangers begin, so many for each machine: one of them does not keep out the others.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// So many for each machine.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    each: usize,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Slots,
    machine: IpAddr,
}

impl Slots {
    /// None is taken.
    pub(crate) fn new(each: usize) -> Self {
        Self { each, taken: Arc::default() }
    }

    /// A place for `peer`; none if it has as many as it may have.
    pub(crate) fn take(&self, peer: IpAddr) -> Option<Slot> {
        let machine = machine(peer);
        let mut taken = self.taken();
        let of_machine = taken.entry(machine).or_default();
        if *of_machine >= self.each {
            return None;
        }
        *of_machine += 1;
        Some(Slot { slots: self.clone(), machine })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken();
        if let Some(of_machine) = taken.get_mut(&self.machine) {
            *of_machine -= 1;
            if *of_machine == 0 {
                taken.remove(&self.machine);
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
    }
}
