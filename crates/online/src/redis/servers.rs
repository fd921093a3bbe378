//! Sending commands to the servers that have their keys: one round trip to each, all at once.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use redis::{Cmd, RedisError, Script, ServerErrorKind, Value};

use super::address::Kind;
use super::cluster::{Cluster, Shards, redirected};
use super::dial::{Dial, Link};
use super::failure::Failure;
use super::group::{Group, Open, Outcome};
use super::node::{Node, Place};

/// How often commands are sent again because their keys are on the move, or a server does not know the script.
const ROUNDS: u32 = 8;
/// By how much longer each time keys on the move are waited for.
const PAUSE: Duration = Duration::from_millis(10);

/// A command, and the slot that its keys are in.
pub(super) struct Call {
    pub(super) slot: u16,
    pub(super) command: Cmd,
}

/// An answer, and the connection by which it came.
pub(super) struct Reply {
    pub(super) value: Value,
    pub(super) link: Arc<Link>,
}

/// Where commands can go.
pub(super) enum Servers {
    One(Arc<Node>),
    Cluster(Cluster),
}

impl Servers {
    pub(super) fn new(kind: &Kind, dial: Dial) -> Self {
        let dial = Arc::new(dial);
        let place = match kind {
            Kind::Server(host) => Place::Host(host.clone()),
            Kind::Socket(path) => Place::Socket(path.clone()),
            Kind::Sentinels { sentinels, master } => {
                Place::Master { sentinels: sentinels.clone(), name: master.clone() }
            }
            Kind::Cluster(seeds) => return Self::Cluster(Cluster::new(seeds.clone(), &dial)),
        };
        Self::One(Arc::new(Node::new(place, &dial)))
    }

    /// Sends the calls and gives their answers in the same order. A call may be done more than once: where a connection
    /// breaks, nobody knows what was done. `script` is what the calls run, if they run one: such calls wait for keys that are
    /// on the move, others fail at once.
    pub(super) async fn run(&self, calls: &[Call], script: Option<&Script>) -> Result<Vec<Reply>, Failure> {
        let mut progress = Progress::new(calls.len(), script.is_some());
        let mut may_reconnect = true;
        for round in 1..=ROUNDS {
            let map = self.map().await?;
            let groups = map.groups(calls, std::mem::take(&mut progress.open))?;
            let sent = join_all(groups.into_iter().map(|group| group.send(calls, script))).await;
            for (group, outcome) in sent {
                if let Err(failure) = progress.take(self, &group, outcome) {
                    // who does not answer may have lost its slots meanwhile
                    self.forget(&map);
                    return Err(failure);
                }
            }
            if progress.open.is_empty() {
                return Ok(progress.replies.into_iter().flatten().collect());
            }
            if let Some(failure) = progress.broken.take() {
                self.forget(&map);
                if !may_reconnect {
                    return Err(failure);
                }
                may_reconnect = false;
            }
            let has_moved = std::mem::take(&mut progress.has_moved);
            if has_moved {
                self.forget(&map);
            }
            // a server may learn late who has what
            if std::mem::take(&mut progress.is_on_the_move) || (has_moved && round > 1) {
                tokio::time::sleep(PAUSE * round).await;
            }
        }
        Err(progress.error.map_or_else(|| Failure::Unfit("it did not come to an end".to_owned()), Failure::from))
    }

    async fn map(&self) -> Result<Map, Failure> {
        Ok(match self {
            Self::One(node) => Map::One(Arc::clone(node)),
            Self::Cluster(cluster) => Map::Shards(cluster.shards().await?),
        })
    }

    fn forget(&self, map: &Map) {
        if let (Self::Cluster(cluster), Map::Shards(shards)) = (self, map) {
            cluster.forget(shards);
        }
    }
}

/// Who has which slots, for one round.
enum Map {
    One(Arc<Node>),
    Shards(Arc<Shards>),
}

impl Map {
    fn groups(&self, calls: &[Call], open: Vec<Open>) -> Result<Vec<Group>, Failure> {
        let mut groups: Vec<Group> = Vec::new();
        for Open { call, asking } in open {
            let is_asking = asking.is_some();
            let node = match (asking, self) {
                (Some(node), _) => node,
                (None, Self::One(node)) => Arc::clone(node),
                (None, Self::Shards(shards)) => {
                    let slot = calls[call].slot;
                    shards.node(slot).map(Arc::clone).ok_or_else(|| {
                        Failure::Unfit(format!("no server of it has slot {slot}: see `redis-cli --cluster check`"))
                    })?
                }
            };
            let same = |group: &&mut Group| group.is_asking == is_asking && Arc::ptr_eq(&group.node, &node);
            match groups.iter_mut().find(same) {
                Some(group) => group.members.push(call),
                None => groups.push(Group { node, is_asking, members: vec![call] }),
            }
        }
        Ok(groups)
    }
}

/// What has been answered, and what is to be sent again, and why.
struct Progress {
    replies: Vec<Option<Reply>>,
    open: Vec<Open>,
    /// A connection broke, or could not be made.
    broken: Option<Failure>,
    /// Slots belong to another server now.
    has_moved: bool,
    /// Keys of one slot lie on two servers just now.
    is_on_the_move: bool,
    may_wait: bool,
    /// Why something was sent again, last.
    error: Option<RedisError>,
}

impl Progress {
    fn new(calls: usize, may_wait: bool) -> Self {
        Self {
            replies: (0..calls).map(|_| None).collect(),
            open: (0..calls).map(|call| Open { call, asking: None }).collect(),
            broken: None,
            has_moved: false,
            is_on_the_move: false,
            may_wait,
            error: None,
        }
    }

    fn take(&mut self, servers: &Servers, group: &Group, outcome: Outcome) -> Result<(), Failure> {
        match outcome {
            Outcome::Answered(link, values) => {
                for (call, value) in group.members.iter().zip(values) {
                    self.sort(servers, group, *call, &link, value)?;
                }
                Ok(())
            }
            Outcome::Failed(failure) => Err(failure),
            // Sentinels were asked already; in a cluster another server may have taken over
            Outcome::Unreached(failure) if matches!(servers, Servers::One(_)) => Err(failure),
            Outcome::Unreached(failure) | Outcome::Broken(failure) => {
                self.broken = Some(failure);
                self.open.extend(group.members.iter().map(|call| Open { call: *call, asking: None }));
                Ok(())
            }
        }
    }

    fn sort(
        &mut self,
        servers: &Servers,
        group: &Group,
        call: usize,
        link: &Arc<Link>,
        value: Value,
    ) -> Result<(), Failure> {
        let Value::ServerError(error) = value else {
            self.replies[call] = Some(Reply { value, link: Arc::clone(link) });
            return Ok(());
        };
        let kind = error.kind();
        let error = RedisError::from(error);
        let mut asking = group.is_asking.then(|| Arc::clone(&group.node));
        match (kind, servers) {
            // the group has told it the script meanwhile
            (Some(ServerErrorKind::NoScript), _) => {}
            (Some(ServerErrorKind::ReadOnly), _) => {
                // a master that was made a replica: whoever asks for the master is told of another
                group.node.let_go(link);
                self.broken = Some(error.clone().into());
            }
            (Some(ServerErrorKind::Moved), Servers::Cluster(_)) => (self.has_moved, asking) = (true, None),
            (Some(ServerErrorKind::Ask), Servers::Cluster(cluster)) => {
                asking = redirected(&error, &group.node.place).map(|host| cluster.at(&host));
            }
            (Some(ServerErrorKind::TryAgain), Servers::Cluster(_)) if self.may_wait => self.is_on_the_move = true,
            _ => return Err(error.into()),
        }
        self.open.push(Open { call, asking });
        self.error = Some(error);
        Ok(())
    }
}
