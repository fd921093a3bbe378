//! Which server of a cluster has which slots, and asking for it again when that changes.

use std::sync::{Arc, PoisonError, RwLock};

use futures::future::select_ok;
use redis::{RedisError, Value};
use tokio::sync::Mutex;

use super::address::{self, Host};
use super::dial::Dial;
use super::failure::Failure;
use super::node::{Node, Place};

/// Slots of a cluster.
pub(super) const SLOTS: u16 = 16384;

/// The servers of a cluster.
pub(super) struct Cluster {
    seeds: Vec<Host>,
    dial: Arc<Dial>,
    known: RwLock<Arc<Shards>>,
    /// Held by whom asks for the slots.
    asking: Mutex<()>,
}

/// Servers and the slots that each has, as they were when last asked for.
#[derive(Default)]
pub(super) struct Shards {
    nodes: Vec<Arc<Node>>,
    /// First and last slot, and which node has them.
    ranges: Vec<(u16, u16, usize)>,
}

impl Shards {
    /// The server that has a slot.
    pub(super) fn node(&self, slot: u16) -> Option<&Arc<Node>> {
        let range = self.ranges.iter().find(|(first, last, _)| (*first..=*last).contains(&slot))?;
        self.nodes.get(range.2)
    }
}

impl Cluster {
    pub(super) fn new(seeds: Vec<Host>, dial: &Arc<Dial>) -> Self {
        Self { seeds, dial: Arc::clone(dial), known: RwLock::default(), asking: Mutex::default() }
    }

    /// Who has which slots; asked for where that is not known yet.
    pub(super) async fn shards(&self) -> Result<Arc<Shards>, Failure> {
        let known = self.known();
        if known.ranges.is_empty() { self.ask_again(&known).await } else { Ok(known) }
    }

    /// Asks who has which slots, unless somebody has since `known`.
    pub(super) async fn ask_again(&self, known: &Arc<Shards>) -> Result<Arc<Shards>, Failure> {
        let _asking = self.asking.lock().await;
        let now = self.known();
        if !Arc::ptr_eq(&now, known) && !now.ranges.is_empty() {
            return Ok(now);
        }
        // all at once, and who answers first is believed: some of them may be down, or hang
        let seeds = self.seeds.iter().map(|seed| self.held(&now.nodes, Place::Host(seed.clone())));
        let asked = now.nodes.iter().map(Arc::clone).chain(seeds).map(|node| Box::pin(self.ask(node, &now.nodes)));
        let (shards, _) = select_ok(asked).await?;
        let shards = Arc::new(shards);
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&shards);
        Ok(shards)
    }

    /// Forgets who has which slots: the next call asks.
    pub(super) fn forget(&self, known: &Arc<Shards>) {
        let mut now = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&now, known) {
            *now = Arc::new(Shards { nodes: known.nodes.clone(), ranges: Vec::new() });
        }
    }

    /// The server at an address that another server has named.
    pub(super) fn at(&self, host: &Host) -> Arc<Node> {
        self.held(&self.known().nodes, Place::Host(host.clone()))
    }

    fn known(&self) -> Arc<Shards> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The node at a place, with its connection where there is one.
    fn held(&self, known: &[Arc<Node>], place: Place) -> Arc<Node> {
        let held = known.iter().find(|node| node.place == place);
        held.map_or_else(|| Arc::new(Node::new(place.clone(), &self.dial)), Arc::clone)
    }

    async fn ask(&self, node: Arc<Node>, known: &[Arc<Node>]) -> Result<Shards, Failure> {
        let link = node.link().await?;
        let mut command = redis::cmd("CLUSTER");
        command.arg("SLOTS");
        let answer: Result<Value, RedisError> = command.query_async(&mut link.connection.clone()).await;
        let slots = match answer {
            Ok(slots) => slots,
            Err(error) => {
                node.let_go(&link);
                return Err(error.into());
            }
        };
        let asked = if let Place::Host((host, _)) = &node.place { host.as_str() } else { "" };
        let mut shards = Shards::default();
        for (first, last, host) in ranges(&slots, asked) {
            let place = Place::Host(host);
            let number = shards.nodes.iter().position(|held| held.place == place).unwrap_or(shards.nodes.len());
            if number == shards.nodes.len() {
                shards.nodes.push(self.held(known, place));
            }
            shards.ranges.push((first, last, number));
        }
        if shards.ranges.is_empty() {
            return Err(Failure::Unfit(
                "its servers have no slots: join them with `redis-cli --cluster create`".to_owned(),
            ));
        }
        Ok(shards)
    }
}

/// First and last slot of each range, and the address of its master. A server that does not know its own name is
/// called as it was `asked`.
fn ranges(slots: &Value, asked: &str) -> Vec<(u16, u16, Host)> {
    let Value::Array(slots) = slots else { return Vec::new() };
    slots.iter().filter_map(|range| range_of(range, asked)).collect()
}

fn range_of(range: &Value, asked: &str) -> Option<(u16, u16, Host)> {
    let Value::Array(parts) = range else { return None };
    let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = parts.as_slice() else { return None };
    let [host, Value::Int(port), ..] = master.as_slice() else { return None };
    let host = match host {
        Value::BulkString(host) => String::from_utf8(host.clone()).ok()?,
        Value::SimpleString(host) => host.clone(),
        _ => String::new(),
    };
    let host = if host.is_empty() || host == "?" { asked.to_owned() } else { host };
    Some((u16::try_from(*first).ok()?, u16::try_from(*last).ok()?, (host, u16::try_from(*port).ok()?)))
}

/// Where a server says that a slot is now, or is on its way to: `MOVED 42 127.0.0.1:7001`.
pub(super) fn redirected(error: &RedisError, asked: &Place) -> Option<Host> {
    let (host, _) = error.redirect_node()?;
    let (host, port) = address::read(host)?;
    match (host.is_empty(), asked) {
        (true, Place::Host((asked, _))) => Some((asked.clone(), port)),
        _ => Some((host, port)),
    }
}

/// The slot that a cluster puts bytes into, where there are no braces in them: CRC-16/XMODEM.
pub(super) fn slot(bytes: &[u8]) -> u16 {
    let crc = bytes.iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| (crc << 1) ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 })
    });
    crc % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_cluster_specification() {
        assert_eq!(slot(b"123456789"), 0x31c3);
        assert_eq!((slot(b"foo"), slot(b"k"), slot(b"")), (12182, 7629, 0));
    }

    #[test]
    fn ranges_are_read_and_a_nameless_server_is_called_as_it_was_asked() {
        let master = |host: Value, port| Value::Array(vec![host, Value::Int(port), Value::BulkString(b"id".to_vec())]);
        let range = |first, last, master| Value::Array(vec![Value::Int(first), Value::Int(last), master]);
        let slots = Value::Array(vec![
            range(0, 99, master(Value::BulkString(b"10.0.0.1".to_vec()), 7000)),
            range(100, 16383, master(Value::Nil, 7001)),
            range(-1, 5, master(Value::Nil, 7001)),
            Value::Nil,
        ]);
        let expected = [(0, 99, ("10.0.0.1".to_owned(), 7000)), (100, 16383, ("h".to_owned(), 7001))];
        assert_eq!(ranges(&slots, "h"), expected);
        assert_eq!(ranges(&Value::Nil, "h"), []);
    }
}
