//! Observers of what a crawler fetches.

use api::model::Operation;
use futures::future::BoxFuture;
use storage::dataset::SourceName;

use super::Crawler;
use super::draft::Page;
use super::networks::Network;
use crate::source::Profile;

/// Observes what arrives from all sources, paid ones and searches included.
pub trait FetchHook: Send + Sync + 'static {
    /// Items have arrived for an operation.
    fn fetched(&self, operation: Operation, items: usize);

    /// Profiles have arrived. Ends when they are recorded, or cannot be.
    fn profiles<'a>(&'a self, source: &'a SourceName, profiles: &'a [Profile]) -> BoxFuture<'a, ()>;
}

impl Crawler {
    /// Tells the observer of the items of a page. Without `since`, it is one of a whole timeline.
    pub(super) fn tell_page(&self, page: &Page, since: Option<&str>) {
        match page {
            Page::Timeline(page) => {
                let operation = if since.is_some() { Operation::Update } else { Operation::Timeline };
                self.tell_items(operation, page.items().len());
            }
            Page::Followers(page) => self.tell_items(Operation::Followers, page.ids.len()),
        }
    }

    /// Tells the observer of items that arrived.
    pub(super) fn tell_items(&self, operation: Operation, items: usize) {
        if let Some(hook) = &self.hook {
            hook.fetched(operation, items);
        }
    }

    /// Tells the observer of profiles that were looked up.
    pub(super) async fn tell_looked_up(&self, network: &Network, profiles: &[Profile]) {
        self.tell_items(Operation::Analysis, profiles.len());
        self.tell_profiles(network, profiles).await;
    }

    /// Tells the observer of profiles that arrived.
    pub(super) async fn tell_profiles(&self, network: &Network, profiles: &[Profile]) {
        if let Some(hook) = &self.hook {
            hook.profiles(&network.name, profiles).await;
        }
    }
}
