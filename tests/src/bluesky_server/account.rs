//! Accounts of the network in a box, and what they publish.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::cluster::Page;

/// The collection of posts.
pub const POST: &str = "app.bsky.feed.post";
/// The collection of reposts.
pub const REPOST: &str = "app.bsky.feed.repost";

const LIKE: &str = "app.bsky.feed.like";
const FOLLOW: &str = "app.bsky.graph.follow";
const PROFILE: &str = "app.bsky.actor.profile";

/// `admin:admin-pass` as RFC 7617 has it: what the parts of the box accept.
const ADMIN: &str = "Authorization: Basic YWRtaW46YWRtaW4tcGFzcw==";

/// Most writes in one request.
const MOST_WRITES: usize = 200;

/// An account, with a session.
#[derive(Debug, Clone)]
pub struct Account {
    /// Its DID.
    pub did: String,
    /// Its handle.
    pub handle: String,
    session: String,
    pds: u16,
}

impl Account {
    pub(super) async fn create(pds: u16, name: &str) -> anyhow::Result<Self> {
        let handle = format!("{name}.test");
        let wanted = json!({"handle": handle, "email": format!("{name}@example.com"), "password": "secret"});
        let made = call(pds, "com.atproto.server.createAccount", &wanted, &[]).await?;
        let text =
            |field: &str| made[field].as_str().map(str::to_owned).context("an account without a field");
        Ok(Self { did: text("did")?, handle, session: text("accessJwt")?, pds })
    }

    /// Publishes `count` posts; returns their URIs, oldest first.
    ///
    /// # Errors
    /// The PDS does not let it.
    pub async fn post(&self, count: usize) -> anyhow::Result<Vec<String>> {
        let posts = (0..count).map(|n| {
            let text = format!("post {n} of {} \"quoted\" \u{e9}\u{1f30d}\n", self.handle);
            json!({"$type": POST, "text": text, "createdAt": moment(), "langs": ["en"]})
        });
        self.write(POST, posts.collect()).await
    }

    /// Reposts records, whose URIs these are.
    ///
    /// # Errors
    /// The PDS does not let it.
    pub async fn repost(&self, uris: &[String]) -> anyhow::Result<Vec<String>> {
        self.write(REPOST, self.about(REPOST, uris)).await
    }

    /// Likes records, whose URIs these are.
    ///
    /// # Errors
    /// The PDS does not let it.
    pub async fn like(&self, uris: &[String]) -> anyhow::Result<Vec<String>> {
        self.write(LIKE, self.about(LIKE, uris)).await
    }

    /// Follows accounts.
    ///
    /// # Errors
    /// The PDS does not let it.
    pub async fn follow(&self, others: &[&Self]) -> anyhow::Result<Vec<String>> {
        let follow = |other: &&Self| json!({"$type": FOLLOW, "subject": other.did, "createdAt": moment()});
        self.write(FOLLOW, others.iter().map(follow).collect()).await
    }

    /// Publishes a profile that carries labels of its own, such as `!no-unauthenticated`.
    ///
    /// # Errors
    /// The PDS does not let it.
    pub async fn label(&self, labels: &[&str]) -> anyhow::Result<()> {
        let values: Vec<Value> = labels.iter().map(|label| json!({"val": label})).collect();
        let labels = json!({"$type": "com.atproto.label.defs#selfLabels", "values": values});
        let record = json!({"$type": PROFILE, "displayName": self.handle, "labels": labels});
        let body = json!({"repo": self.did, "collection": PROFILE, "rkey": "self", "record": record});
        self.call("com.atproto.repo.putRecord", &body).await.map(drop)
    }

    /// Deactivates it.
    ///
    /// # Errors
    /// The PDS does not let it.
    pub async fn deactivate(&self) -> anyhow::Result<()> {
        self.call("com.atproto.server.deactivateAccount", &json!({})).await.map(drop)
    }

    /// Deletes it.
    ///
    /// # Errors
    /// The PDS does not let it.
    pub async fn delete(&self) -> anyhow::Result<()> {
        let body = json!({"did": self.did});
        call(self.pds, "com.atproto.admin.deleteAccount", &body, &[ADMIN]).await.map(drop)
    }

    fn about(&self, collection: &str, uris: &[String]) -> Vec<Value> {
        // The PDS does not look at what the id of the content is.
        let subject = |uri: &String| json!({"uri": uri, "cid": "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a"});
        let about =
            |uri: &String| json!({"$type": collection, "subject": subject(uri), "createdAt": moment()});
        uris.iter().map(about).collect()
    }

    async fn write(&self, collection: &str, records: Vec<Value>) -> anyhow::Result<Vec<String>> {
        let mut uris = Vec::with_capacity(records.len());
        for records in records.chunks(MOST_WRITES) {
            let create = |value: &Value| json!({"$type": "com.atproto.repo.applyWrites#create", "collection": collection, "value": value});
            let writes: Vec<Value> = records.iter().map(create).collect();
            let body = json!({"repo": self.did, "writes": writes});
            let done = self.call("com.atproto.repo.applyWrites", &body).await?;
            let results = done["results"].as_array().context("an answer without results")?;
            uris.extend(results.iter().filter_map(|result| result["uri"].as_str()).map(str::to_owned));
        }
        Ok(uris)
    }

    async fn call(&self, method: &str, body: &Value) -> anyhow::Result<Value> {
        call(self.pds, method, body, &[&format!("Authorization: Bearer {}", self.session)]).await
    }
}

pub(super) async fn take_down(port: u16, did: &str) -> anyhow::Result<()> {
    let subject = json!({"$type": "com.atproto.admin.defs#repoRef", "did": did});
    let body = json!({"subject": subject, "takedown": {"applied": true, "ref": "1"}});
    call(port, "com.atproto.admin.updateSubjectStatus", &body, &[ADMIN]).await.map(drop)
}

async fn call(port: u16, method: &str, body: &Value, headers: &[&str]) -> anyhow::Result<Value> {
    let (address, path) = (format!("127.0.0.1:{port}"), format!("/xrpc/{method}"));
    let page = Page::ask_with(&address, ("POST", &path), headers, &body.to_string()).await?;
    ensure!(page.status == 200, "{method}: status {}: {}", page.status, page.body);
    match page.body.is_empty() {
        true => Ok(Value::Null),
        false => serde_json::from_str(&page.body).with_context(|| page.body.clone()),
    }
}

/// A moment of the first of January 2024, a millisecond later at each call. Records of equal content have equal CIDs, by which
/// the AppView divides lists into pages: some of those are lost.
fn moment() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let (hour, minute, second) = (n / 3_600_000 % 24, n / 60_000 % 60, n / 1000 % 60);
    format!("2024-01-01T{hour:02}:{minute:02}:{second:02}.{:03}Z", n % 1000)
}
