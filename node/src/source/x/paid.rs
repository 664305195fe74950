//! Requests by a chosen app, for whoever pays for them.

use api::model::{AppName, AppTerms};
use storage::ids::UserId;

use super::{Terms, XSource};
use crate::http_client::HttpClient;
use crate::rate::BudgetScope;
use crate::source::{Answer, Endpoint, Profile};

impl XSource {
    /// What each app may spend.
    pub fn app_terms(&self) -> impl Iterator<Item = (AppName, AppTerms)> {
        self.settings.apps.iter().map(|app| (app.name().into(), app.terms()))
    }

    /// The positions of the apps that are not set aside.
    pub fn usable_apps(&self) -> Vec<usize> {
        (0..self.aside.len()).filter(|app| self.aside[*app].get().is_none()).collect()
    }

    /// The rate budget of an app's requests.
    pub fn app_scope(&self, app: usize, endpoint: Endpoint) -> BudgetScope {
        self.requests.scope(app, endpoint)
    }

    /// The rate budget of [`date`](Self::date).
    pub fn date_scope(&self) -> BudgetScope {
        self.requests.date_scope()
    }

    /// The most that a request can cost, in millionths of the currency.
    pub fn worst_micros(&self, endpoint: Endpoint, size: u32) -> u64 {
        self.worst_cost(endpoint, size).micros(self.prices())
    }

    /// The smallest size of a page or a look-up.
    pub fn smallest(&self, endpoint: Endpoint) -> u32 {
        super::sizes(endpoint).0
    }

    /// Profiles by id, as [`Source::lookup`](crate::source::Source::lookup), by the given app.
    pub async fn lookup_by(&self, via: &HttpClient, ids: &[UserId], app: usize) -> Answer<Vec<Profile>> {
        let terms = Terms { app, size: ids.len() as u32 };
        self.users(via, Endpoint::Lookup, self.requests.lookup(app, ids), terms).await
    }

    /// Profiles by name, as [`Source::resolve`](crate::source::Source::resolve), by the given app.
    pub async fn resolve_by(&self, via: &HttpClient, names: &[String], app: usize) -> Answer<Vec<Profile>> {
        let terms = Terms { app, size: names.len() as u32 };
        self.users(via, Endpoint::Resolve, self.requests.resolve(app, names), terms).await
    }
}
