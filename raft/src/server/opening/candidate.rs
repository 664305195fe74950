//! A node that is not a member yet.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::future::join_all;
use storage::planted::{Bug, planted};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::model::{ClusterId, DiskId, MemberId, NodeId};
use crate::server::options::TrackerOptions;
use crate::server::tracker::StartError;
use crate::wire::{Candidate, Greeting, JoinAnswer, JoinRequest, JoinStage, Probed};

use super::place::{Place, become_member};
use super::{ASK_TIMEOUT, LOOK_PAUSE, Opened};

/// The knowledge and decisions of a node that is not a member yet.
pub(super) struct Candidacy {
    pub(super) options: TrackerOptions,
    pub(super) own: MemberId,
    /// Taken while it is written to.
    place: tokio::sync::Mutex<Option<Place>>,
    /// The last answers of the other nodes.
    probed: Mutex<BTreeMap<NodeId, Probed>>,
    /// What this node is waiting for, as a message.
    waits_for: Mutex<String>,
    begun: Notify,
}

/// What the other nodes report.
enum Surroundings {
    /// A cluster exists; this address belongs to one of its members.
    Cluster {
        cluster: ClusterId,
        address: String,
        /// Whether that member knows this disk as a member too.
        knows_us: bool,
    },
    /// All of `--peers` are reachable and empty.
    AllEmpty,
    /// Neither; what this node is waiting for.
    Waiting(String),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Candidacy {
    pub(super) fn new(options: TrackerOptions, own: MemberId, place: Place) -> Self {
        Self {
            options,
            own,
            place: tokio::sync::Mutex::new(Some(place)),
            probed: Mutex::default(),
            waits_for: Mutex::default(),
            begun: Notify::new(),
        }
    }

    /// What this node is waiting for, as a message.
    pub(super) fn waits_for(&self) -> String {
        lock(&self.waits_for).clone()
    }

    /// The node that forms a cluster of these peers.
    pub(super) fn founder(&self) -> Option<NodeId> {
        self.options.peers.keys().next().copied()
    }

    /// The disk that a node last reported.
    pub(super) fn disk_of(&self, node: NodeId) -> Option<DiskId> {
        lock(&self.probed).get(&node).map(|probed| probed.member.disk)
    }

    /// The state of this node.
    pub(super) async fn probe(&self) -> Probed {
        let stage = match self.promised_to().await {
            None => JoinStage::Empty,
            Some(cluster) => JoinStage::Promised(cluster),
        };
        let (name, peers) = (self.options.cluster.clone(), self.options.peers.clone());
        Probed { name, member: self.own, stage, members: Vec::new(), peers }
    }

    pub(super) async fn promised_to(&self) -> Option<ClusterId> {
        self.place.lock().await.as_ref().and_then(Place::cluster)
    }

    /// Promises the data directory to a cluster, durably.
    pub(super) async fn promise(&self, cluster: ClusterId) -> Result<(), StartError> {
        let mut place = self.place.lock().await;
        let Some(taken) = place.take() else {
            return Err(StartError::Refused("this node is about to become a member".to_owned()));
        };
        let (name, own) = (self.options.cluster.clone(), self.own);
        let promised = self.options.work.run(move || taken.promise(cluster, &name, own)).await?;
        *place = Some(promised?);
        Ok(())
    }

    /// The cluster to which the data directory is promised exists.
    pub(super) fn begin(&self) {
        self.begun.notify_one();
    }

    /// Waits until the node is a member, or has to initialize its cluster.
    pub(super) async fn settle(&self) -> Result<Opened, StartError> {
        loop {
            let waiting = match self.look_around().await {
                Surroundings::Cluster { cluster, address, knows_us } => {
                    if knows_us && self.promised_to().await == Some(cluster) {
                        return self.member().await;
                    }
                    match self.join(cluster, &address).await? {
                        Some(opened) => return Ok(opened),
                        None => continue,
                    }
                }
                Surroundings::AllEmpty if self.founder() == Some(self.own.node) => match self.form().await? {
                    Ok(opened) => return Ok(opened),
                    Err(waiting) => waiting,
                },
                Surroundings::AllEmpty => {
                    let founder = self.founder().unwrap_or_default();
                    format!("for node {founder}, which forms the cluster")
                }
                Surroundings::Waiting(waiting) => waiting,
            };
            self.tell(waiting);
            tokio::select! {
                biased;
                () = sleep(LOOK_PAUSE) => {}
                () = self.begun.notified() => return self.member().await,
            }
        }
    }

    /// The promised data directory, as a member's.
    pub(super) async fn member(&self) -> Result<Opened, StartError> {
        let Some(Place::Promised(mut data)) = self.place.lock().await.take() else {
            return Err(StartError::Refused("the data directory was promised to no cluster".to_owned()));
        };
        let disks = self.options.disks.clone();
        let data = self.options.work.run(move || become_member(&mut data, &disks).map(|()| data)).await??;
        Ok(Opened { data, formation: None })
    }

    /// The promised data directory of the node that initializes the cluster. It becomes a member's once Raft is
    /// initialized.
    pub(super) async fn take_promised(&self) -> Result<storage::datadir::DataDir, StartError> {
        match self.place.lock().await.take() {
            Some(Place::Promised(data)) => Ok(data),
            _ => Err(StartError::Refused("the data directory was promised to no cluster".to_owned())),
        }
    }

    /// Logs what this node is waiting for when that changes.
    fn tell(&self, waiting: String) {
        let mut told = lock(&self.waits_for);
        if *told != waiting {
            tracing::info!(node = self.own.node, "this node is in no cluster yet and waits {waiting}");
            *told = waiting;
        }
    }

    /// Sends a request to one address.
    pub(super) async fn ask(
        &self,
        address: &str,
        node: Option<NodeId>,
        request: JoinRequest,
    ) -> Result<JoinAnswer, String> {
        let greeting = Greeting::of_candidate(self.own, node);
        let asked = async {
            let connection = self.options.dial.dial(address, &greeting).await.map_err(|e| e.to_string())?;
            connection.join(ASK_TIMEOUT, request).await.map_err(|e| e.to_string())
        };
        let late = |_| format!("{address} did not answer in time");
        tokio::time::timeout(ASK_TIMEOUT * 2, asked).await.map_err(late)?
    }

    async fn look_around(&self) -> Surroundings {
        let own = self.own.node;
        let peers = self.options.peers.iter().filter(|(id, _)| **id != own);
        let peers = peers.map(|(&id, address)| (Some(id), address));
        let contacts = peers.chain(self.options.join.iter().map(|address| (None, address)));
        let asked = contacts.map(async |(node, address)| {
            let answer = match self.ask(address, node, JoinRequest::Probe).await {
                Ok(JoinAnswer::Probed(probed)) => Ok(probed),
                Ok(_) => Err(format!("{address} answered something else")),
                Err(trouble) => Err(trouble),
            };
            (node, address.clone(), answer)
        });
        let answers = join_all(asked).await;
        let known = answers.iter().filter_map(|(node, _, probed)| Some(((*node)?, probed.clone().ok()?)));
        *lock(&self.probed) = known.collect();
        let name = &self.options.cluster;
        for (_, address, probed) in &answers {
            if let Ok(Probed { stage: JoinStage::Member(cluster), name: theirs, members, .. }) = probed {
                if theirs == name {
                    let knows_us = members.contains(&self.own);
                    return Surroundings::Cluster { cluster: *cluster, address: address.clone(), knows_us };
                }
            }
        }
        let mut waiting = Vec::new();
        for (node, address, probed) in &answers {
            let who = node.map_or_else(|| address.clone(), |node| format!("node {node}"));
            match probed {
                Err(trouble) => waiting.push(format!("{who} ({trouble})")),
                Ok(probed) if probed.name != *name => {
                    waiting.push(format!("{who}, which is in cluster {:?}", probed.name));
                }
                Ok(probed) if probed.peers != self.options.peers => {
                    waiting.push(format!("{who}, which was given other --peers"));
                }
                Ok(_) => {}
            }
        }
        if !self.options.join.is_empty() {
            waiting.push("a member of the cluster that --join names".to_owned());
        }
        let enough = planted(Bug::MajorityForms) && waiting.len() * 2 < self.options.peers.len();
        if waiting.is_empty() || enough {
            return Surroundings::AllEmpty;
        }
        Surroundings::Waiting(format!("for {}", waiting.join(", ")))
    }

    /// Asks to be admitted to a cluster. `None`: not now.
    async fn join(&self, cluster: ClusterId, address: &str) -> Result<Option<Opened>, StartError> {
        for bind in [false, true] {
            if bind {
                self.promise(cluster).await?;
            }
            let candidate = Candidate { name: self.options.cluster.clone(), member: self.own, bind };
            let waiting = match self.ask(address, None, JoinRequest::Join(candidate)).await {
                Ok(JoinAnswer::Admitted(to)) if to == cluster => continue,
                Ok(JoinAnswer::Never(why)) => return Err(StartError::Refused(why)),
                Ok(JoinAnswer::NotNow(why)) | Err(why) => why,
                Ok(_) => format!("{address} answered something else"),
            };
            self.tell(format!("to be let into cluster {cluster}: {waiting}"));
            sleep(LOOK_PAUSE).await;
            return Ok(None);
        }
        self.member().await.map(Some)
    }
}
