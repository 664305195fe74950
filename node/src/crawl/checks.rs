//! `source check`: asks the hosts of each source.

use std::time::Duration;

use api::model::{Reached, SourceStatus};

use super::Crawler;
use super::networks::Network;
use super::resolve::ResolveError;
use crate::source::{Endpoint, HostCheck, HostReport};

/// Timeout for one host.
const CHECK: Duration = Duration::from_secs(10);
/// Most questions to one host.
const MOST_STEPS: usize = 3;

impl Crawler {
    /// The sources, after one or two small requests to each of their hosts, all at once. A source with several hosts has a
    /// status for each of them behind its own.
    pub async fn check_sources(&self) -> Vec<SourceStatus> {
        let networks = self.parts.networks.iter().map(|(_, network)| network);
        let checks = networks.zip(self.source_status()).map(async |(network, status)| {
            let hosts = network.source.host_checks().into_iter().map(async |check| {
                let host = check.host.clone();
                let begun = self.parts.clock.monotonic();
                let (place, reached) = match within(self.ask_host(network, check)).await {
                    Ok(Some(about)) => (format!("{host}: {about}"), self.after(begun)),
                    Ok(None) => (host, self.after(begun)),
                    Err(what) => (host, Reached::Failed(what)),
                };
                SourceStatus { place, reached: Some(reached), ..status.clone() }
            });
            let (own, hosts) = tokio::join!(self.probe(network), futures::future::join_all(hosts));
            let own = SourceStatus { reached: own, ..status };
            std::iter::once(own).chain(hosts).collect::<Vec<_>>()
        });
        futures::future::join_all(checks).await.into_iter().flatten().collect()
    }

    /// Asks for the account of a name that may or may not exist.
    async fn probe(&self, network: &Network) -> Option<Reached> {
        let name = network.source.probe_name()?.to_owned();
        let begun = self.parts.clock.monotonic();
        let names = [name];
        let asked = async {
            let found = self.resolve_batch(network, &names).await;
            found.map(drop).map_err(|error| ResolveError::from(error).to_string())
        };
        Some(match within(asked).await {
            Ok(()) => self.after(begun),
            Err(what) => Reached::Failed(what),
        })
    }

    /// Asks a host until it is known what it is; the error says what is wrong with it.
    async fn ask_host(&self, network: &Network, first: HostCheck) -> Result<Option<String>, String> {
        let mut next = first;
        for _ in 0..MOST_STEPS {
            let told = |error| ResolveError::from(error).to_string();
            let permit = self.permit(&next.scope).await.map_err(told)?;
            let answer = network.source.check_host(permit.client(), &next).await;
            match self.settle(network, Endpoint::Locate, permit, answer).map_err(told)? {
                Some(HostReport::Fine(about)) => return Ok(about),
                Some(HostReport::Wrong(what)) => return Err(what),
                Some(HostReport::Next(check)) => next = check,
                // Another address is asked.
                None => {}
            }
        }
        Err("its answers lead nowhere".to_owned())
    }

    fn after(&self, begun: Duration) -> Reached {
        let took = self.parts.clock.monotonic().saturating_sub(begun).as_millis();
        Reached::After(u64::try_from(took).unwrap_or(u64::MAX))
    }
}

async fn within<T>(asked: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    match tokio::time::timeout(CHECK, asked).await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!("no answer within {} s", CHECK.as_secs())),
    }
}
