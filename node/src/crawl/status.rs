//! The status of the workers.

use std::collections::BTreeMap;
use std::net::IpAddr;

use api::model::{AddressStatus, BudgetStatus, SourceStatus, WorkerStatus};
use storage::dataset::SourceName;

use super::Crawler;
use super::networks::Network;

/// Most addresses in a status, which has to fit into a message.
const MOST_ADDRESSES: usize = 1024;
/// Most budgets of an address in a status, those with the least left first: a source of many hosts has one for each.
const MOST_BUDGETS: usize = 32;

impl Crawler {
    /// The status of `total` workers, of which `busy` have a job; `http` is the address of the HTTP port.
    pub fn worker_status(&self, total: u32, busy: u32, http: String) -> WorkerStatus {
        let requests = self.counters.requests();
        let sum =
            |bad_only: bool| requests.iter().filter(|r| !(bad_only && r.is_good())).map(|r| r.count).sum();
        WorkerStatus {
            total,
            busy,
            requests: sum(false),
            request_errors: sum(true),
            tweets: self.counters.tweets(),
            followers: self.counters.followers(),
            http,
            addresses: self.address_status(),
            dataset_trouble: self.dataset_trouble(),
            api_trouble: self.source_troubles().into_iter().reduce(|all, more| format!("{all}; {more}")),
        }
    }

    /// Which sources cannot be reached, and why, as far as jobs have noticed recently.
    pub(super) fn source_troubles(&self) -> Vec<String> {
        self.parts.networks.iter().flat_map(|(_, network)| self.troubles_of(network)).collect()
    }

    fn troubles_of(&self, network: &Network) -> impl Iterator<Item = String> + use<> {
        let outage = network.health.outage(&*self.parts.clock);
        let money = network.source.paid().and_then(|_| self.purse.trouble());
        outage.into_iter().chain(network.source.troubles()).chain(money)
    }

    /// The sources. Their hosts are not asked.
    pub fn source_status(&self) -> Vec<SourceStatus> {
        let status = |(name, network): (&SourceName, &Network)| SourceStatus {
            name: name.clone(),
            kind: network.source.kind().to_owned(),
            place: network.source.place(),
            trouble: self
                .troubles_of(network)
                .chain(network.hosts.trouble())
                .reduce(|all, more| format!("{all}; {more}")),
            reached: None,
        };
        self.parts.networks.iter().map(status).collect()
    }

    /// Why the dataset cannot be written, as far as jobs have noticed recently.
    pub fn dataset_trouble(&self) -> Option<String> {
        self.dataset_health.outage(&*self.parts.clock)
    }

    /// The addresses used so far and their budgets.
    pub fn address_status(&self) -> Vec<AddressStatus> {
        // Budgets of the cluster first, then those of this node by address.
        let mut by_address: BTreeMap<(bool, Option<IpAddr>), Vec<BudgetStatus>> = BTreeMap::new();
        for budget in self.parts.pool.snapshot() {
            let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            // After a refusal nothing may be sent, whatever the window says.
            let wait = budget.reset_in.max(budget.blocked_for);
            let status = BudgetStatus {
                endpoint: budget.scope,
                limit: budget.limit,
                remaining: if budget.blocked_for.is_some() { Some(0) } else { budget.remaining },
                reset_in_ms: wait.map(millis),
                in_flight: budget.in_flight,
            };
            by_address.entry((budget.share.is_none(), budget.address)).or_default().push(status);
        }
        let named = |((own, address), mut budgets): ((bool, Option<IpAddr>), Vec<BudgetStatus>)| {
            if budgets.len() > MOST_BUDGETS {
                budgets.sort_by_key(|budget| (budget.remaining.unwrap_or(u64::MAX), budget.in_flight == 0));
                budgets.truncate(MOST_BUDGETS);
            }
            let address = match address {
                Some(address) => address.to_string(),
                None if own => "any".to_owned(),
                None => "cluster".to_owned(),
            };
            AddressStatus { address, budgets }
        };
        by_address.into_iter().take(MOST_ADDRESSES).map(named).collect()
    }
}
