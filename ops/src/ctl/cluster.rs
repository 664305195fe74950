//! The cluster as the commands use it: every query with its answer's type.

use std::sync::Arc;
use std::time::Duration;

use api::TrackerApi;
use api::client::{ApiError, Client, ClientError};
use api::model::{
    Answer, ClusterStatus, CrawlId, CrawlView, FailedUser, Failure, FrontierPage, Gone, NodeId, NodeStatus,
    Query, Refusal, ReplicaCheck, RequestId, Response, Write,
};
use api::wire::{Dial, MemberRequest};
use storage::env::SystemEntropy;
use storage::ids::UserId;

/// A cluster, by the addresses of its nodes.
pub struct Cluster {
    dial: Arc<dyn Dial>,
    client: Client,
    endpoints: Vec<String>,
    timeout: Duration,
}

impl Cluster {
    /// The cluster of the nodes at these `HOST:PORT`s; nothing is connected yet. Each call is given
    /// up after `timeout`.
    pub fn new(dial: Arc<dyn Dial>, endpoints: Vec<String>, timeout: Duration) -> Self {
        let client = Client::dialling(dial.clone(), endpoints.clone(), timeout, &SystemEntropy::new());
        Self { dial, client, endpoints, timeout }
    }

    /// The `HOST:PORT`s that were given.
    pub fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    /// The same cluster through these nodes and those given before: a command that stops nodes must
    /// not depend on a single one.
    pub fn through_also(&self, addresses: impl IntoIterator<Item = String>) -> Self {
        let mut endpoints = self.endpoints.clone();
        for address in addresses {
            if !endpoints.contains(&address) {
                endpoints.push(address);
            }
        }
        Self::new(self.dial.clone(), endpoints, self.timeout)
    }

    /// The cluster of one of these nodes alone, for what a node says of itself.
    pub fn only(&self, endpoint: &str) -> Self {
        Self::new(self.dial.clone(), vec![endpoint.to_owned()], self.timeout)
    }

    /// A name for a write.
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

    /// What the node behind the endpoint says of itself.
    pub async fn node_status(&self) -> Result<NodeStatus, ClientError> {
        self.client.node_status().await
    }

    /// Compares all replicas at one entry of the log.
    pub async fn check_replicas(&self) -> Result<ReplicaCheck, ClientError> {
        self.client.check_replicas().await
    }

    /// Changes the cluster's members.
    pub async fn change_members(&self, request: MemberRequest) -> Result<(), ClientError> {
        self.client.change_members(request).await
    }

    /// Lets one new disk of a node in.
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

    /// One crawl. One that does not exist is a refusal.
    pub async fn crawl(&self, id: CrawlId) -> Result<CrawlView, ClientError> {
        match self.client.query(Query::Crawl(id)).await? {
            Answer::Crawl(Some(crawl)) => Ok(*crawl),
            Answer::Crawl(None) => Err(ClientError::Api(ApiError::Refused(Refusal::NoSuchCrawl(id)))),
            _ => Err(ClientError::UnexpectedResponse { asked: "crawl query" }),
        }
    }

    /// At most `limit` accounts of a crawl's error list, those after `after`.
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

    /// At most `limit` accounts that were gone, those after `after`.
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

    /// Looks up screen names (without `@`), as many as one call takes. Answers those that have an account.
    pub async fn resolve(&self, names: Vec<String>) -> Result<Vec<(String, UserId)>, ClientError> {
        self.client.resolve(names).await
    }

    /// Moves leadership, to a node or to the one that has come furthest; answers who leads then.
    pub async fn transfer_leader(&self, to: Option<NodeId>) -> Result<NodeId, ClientError> {
        self.client.transfer_leader(to).await
    }
}
