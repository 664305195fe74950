//! The cluster as the commands use it: typed queries.

use std::sync::Arc;
use std::time::Duration;

use api::TrackerApi;
use api::client::{ApiError, Client, ClientError};
use api::model::{
    Answer, ClusterStatus, CrawlId, CrawlView, FailedUser, Failure, FrontierPage, Gone, NodeId, NodeStatus,
    Query, Refusal, ReplicaCheck, RequestId, Response, SourceStatus, SpendStatus, Write,
};
use api::wire::{Dial, MemberRequest};
use storage::dataset::SourceName;
use storage::env::SystemEntropy;
use storage::ids::UserId;

/// The cluster version from which on money is counted.
const FIRST_MONEY: u32 = 6;

/// A cluster, by the addresses of its nodes.
pub struct Cluster {
    dial: Arc<dyn Dial>,
    client: Client,
    endpoints: Vec<String>,
    timeout: Duration,
}

/// The sources of one node, or why it did not tell them.
pub struct NodeSources {
    /// The node.
    pub node: NodeId,
    /// Its sources.
    pub sources: Result<Vec<SourceStatus>, ClientError>,
}

impl Cluster {
    /// The cluster with nodes at these `HOST:PORT`s; it does not connect yet. `timeout` applies to each call.
    pub fn new(dial: Arc<dyn Dial>, endpoints: Vec<String>, timeout: Duration) -> Self {
        let client = Client::dialling(dial.clone(), endpoints.clone(), timeout, &SystemEntropy::new());
        Self { dial, client, endpoints, timeout }
    }

    /// The given `HOST:PORT`s.
    pub fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    /// The same cluster through these nodes as well: a command that stops nodes must not depend on a single
    /// one.
    pub fn through_also(&self, addresses: impl IntoIterator<Item = String>) -> Self {
        let mut endpoints = self.endpoints.clone();
        for address in addresses {
            if !endpoints.contains(&address) {
                endpoints.push(address);
            }
        }
        Self::new(self.dial.clone(), endpoints, self.timeout)
    }

    /// Only one of these nodes, for its own status.
    pub fn only(&self, endpoint: &str) -> Self {
        Self::new(self.dial.clone(), vec![endpoint.to_owned()], self.timeout)
    }

    /// An id for a write.
    pub fn request_id(&self) -> RequestId {
        self.client.request_id()
    }

    /// The whole cluster, as its leader sees it.
    pub async fn status(&self) -> Result<ClusterStatus, ClientError> {
        match self.client.query(Query::Status).await? {
            Answer::Status(status) => Ok(*status),
            _ => Err(ClientError::UnexpectedResponse { asked: "status query" }),
        }
    }

    /// The status of the node at the endpoint.
    pub async fn node_status(&self) -> Result<NodeStatus, ClientError> {
        self.client.node_status().await
    }

    /// Compares all replicas at one log entry.
    pub async fn check_replicas(&self) -> Result<ReplicaCheck, ClientError> {
        self.client.check_replicas().await
    }

    /// Changes the cluster's members.
    pub async fn change_members(&self, request: MemberRequest) -> Result<(), ClientError> {
        self.client.change_members(request).await
    }

    /// Admits one new disk of a node.
    pub async fn replace_disk(&self, node: NodeId, address: Option<String>) -> Result<(), ClientError> {
        self.client.replace_disk(node, address).await
    }

    /// All crawls, oldest first.
    pub async fn crawls(&self) -> Result<Vec<CrawlView>, ClientError> {
        match self.client.query(Query::Crawls).await? {
            Answer::Crawls(crawls) => Ok(crawls),
            _ => Err(ClientError::UnexpectedResponse { asked: "crawls query" }),
        }
    }

    /// One crawl. An unknown one is refused.
    pub async fn crawl(&self, id: CrawlId) -> Result<CrawlView, ClientError> {
        match self.client.query(Query::Crawl(id)).await? {
            Answer::Crawl(Some(crawl)) => Ok(*crawl),
            Answer::Crawl(None) => Err(ClientError::Api(ApiError::Refused(Refusal::NoSuchCrawl(id)))),
            _ => Err(ClientError::UnexpectedResponse { asked: "crawl query" }),
        }
    }

    /// All money; `None` if the leader runs a release that counts none.
    pub async fn money(&self, status: &ClusterStatus) -> Result<Option<SpendStatus>, ClientError> {
        let leader = status.nodes.iter().find(|member| member.id == status.leader);
        let version = leader.and_then(|member| member.node.as_ref()).map_or(0, |node| node.cluster_version);
        if version < FIRST_MONEY {
            return Ok(None);
        }
        self.client.spend_status().await.map(Some)
    }

    /// At most `limit` accounts of a crawl's error list, after `after`.
    pub async fn errors(
        &self,
        crawl: CrawlId,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<FailedUser<Failure>>, ClientError> {
        match self.client.query(Query::Errors { crawl, after, limit }).await? {
            Answer::Errors(errors) => Ok(errors),
            _ => Err(ClientError::UnexpectedResponse { asked: "errors query" }),
        }
    }

    /// At most `limit` gone accounts, after `after`.
    pub async fn gone(
        &self,
        crawl: CrawlId,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<FailedUser<Gone>>, ClientError> {
        match self.client.query(Query::Gone { crawl, after, limit }).await? {
            Answer::Gone(gone) => Ok(gone),
            _ => Err(ClientError::UnexpectedResponse { asked: "query for gone accounts" }),
        }
    }

    /// A page of a crawl's frontier.
    pub async fn frontier(&self, crawl: CrawlId, from: u64) -> Result<FrontierPage, ClientError> {
        match self.client.query(Query::Frontier { crawl, from }).await? {
            Answer::Frontier(page) => Ok(page),
            _ => Err(ClientError::UnexpectedResponse { asked: "frontier query" }),
        }
    }

    /// Changes the state. A refusal is an error.
    pub async fn write(&self, write: Write) -> Result<Response, ClientError> {
        self.client.write(write).await
    }

    /// Looks up names (without `@`) in a source, as many as one call allows. Returns those that have an account.
    pub async fn resolve(
        &self,
        source: &SourceName,
        names: Vec<String>,
    ) -> Result<Vec<(String, UserId)>, ClientError> {
        self.client.resolve_of(source.clone(), names).await
    }

    /// The sources of each node; with `check`, after the nodes have reached their hosts.
    pub async fn sources(&self, check: bool) -> Result<Vec<NodeSources>, ClientError> {
        let members = self.status().await?.nodes;
        let asked = members.into_iter().map(async |member| {
            let node = self.only(&member.address);
            NodeSources { node: member.id, sources: node.client.sources(check).await }
        });
        Ok(futures::future::join_all(asked).await)
    }

    /// Transfers the leadership to a node, or to the most up-to-date one; returns the new leader.
    pub async fn transfer_leader(&self, to: Option<NodeId>) -> Result<NodeId, ClientError> {
        self.client.transfer_leader(to).await
    }
}
