//! Decides which faults apply to a request.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use storage::env::{Entropy, SeededEntropy};

use super::{Fault, FaultRule};
use crate::emulator::Endpoint;

/// The active rules.
pub(in crate::emulator) struct Injector {
    seed: u64,
    rules: Mutex<Vec<Armed>>,
}

/// A rule with its counters and random state.
struct Armed {
    rule: FaultRule,
    matched: u64,
    happened: u64,
    entropy: SeededEntropy,
}

/// The properties of a request that rules match.
pub(in crate::emulator) struct Target<'a> {
    pub endpoint: Endpoint,
    pub address: IpAddr,
    pub users: &'a [u64],
}

/// The faults of a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::emulator) struct Verdict {
    pub latency: Duration,
    pub fault: Option<Fault>,
}

impl Injector {
    /// An injector without rules; `seed` determines the random decisions.
    pub fn new(seed: u64) -> Self {
        Self { seed, rules: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Armed>> {
        self.rules.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Replaces all rules.
    pub fn set(&self, rules: Vec<FaultRule>) -> Result<(), String> {
        rules.iter().try_for_each(FaultRule::check)?;
        let arm = |(position, rule)| Armed {
            rule,
            matched: 0,
            happened: 0,
            entropy: SeededEntropy::new(SeededEntropy::new(self.seed ^ position).next_u64()),
        };
        *self.lock() = (0..).zip(rules).map(arm).collect();
        Ok(())
    }

    pub fn rules(&self) -> Vec<FaultRule> {
        self.lock().iter().map(|armed| armed.rule.clone()).collect()
    }

    /// The faults of the request: the sum of all latencies that apply, and the first other fault.
    pub fn judge(&self, target: &Target<'_>) -> Verdict {
        let mut verdict = Verdict::default();
        for armed in self.lock().iter_mut() {
            let latency = match armed.rule.fault {
                Fault::LatencyMs(millis) => Some(Duration::from_millis(millis)),
                _ if verdict.fault.is_some() => continue,
                _ => None,
            };
            if !armed.applies(target) {
                continue;
            }
            match latency {
                Some(latency) => verdict.latency += latency,
                None => verdict.fault = Some(armed.rule.fault),
            }
        }
        verdict
    }
}

impl Armed {
    fn applies(&mut self, target: &Target<'_>) -> bool {
        let rule = &self.rule;
        let matches = rule.endpoint.is_none_or(|endpoint| endpoint == target.endpoint)
            && rule.address.is_none_or(|address| address == target.address)
            && rule.user.is_none_or(|user| target.users.contains(&user));
        if !matches {
            return false;
        }
        self.matched += 1;
        let happens = self.matched > rule.after
            && rule.count.is_none_or(|count| self.happened < count)
            && self.entropy.next_unit() < rule.probability;
        self.happened += u64::from(happens);
        happens
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn judge(injector: &Injector, endpoint: Endpoint, user: u64) -> Verdict {
        injector.judge(&Target { endpoint, address: Ipv4Addr::LOCALHOST.into(), users: &[user] })
    }

    #[test]
    fn rules_apply_where_and_as_often_as_they_say() {
        let injector = Injector::new(1);
        let rule = FaultRule::new(Fault::Reset).at(Endpoint::Timeline).user(5).after(1).times(2);
        let other = "127.0.0.9".parse().unwrap();
        injector.set(vec![FaultRule::new(Fault::Hang).from(other), rule]).unwrap();
        assert_eq!(judge(&injector, Endpoint::Followers, 5).fault, None);
        assert_eq!(judge(&injector, Endpoint::Timeline, 6).fault, None);
        let faults: Vec<_> = (0..5).map(|_| judge(&injector, Endpoint::Timeline, 5).fault).collect();
        assert_eq!(faults, [None, Some(Fault::Reset), Some(Fault::Reset), None, None]);
    }

    #[test]
    fn latencies_add_up_and_the_first_other_fault_wins() {
        let injector = Injector::new(1);
        let faults = [Fault::LatencyMs(5), Fault::Cut, Fault::Reset, Fault::LatencyMs(7)];
        injector.set(faults.map(FaultRule::new).into()).unwrap();
        let verdict = judge(&injector, Endpoint::Show, 1);
        assert_eq!(verdict, Verdict { latency: Duration::from_millis(12), fault: Some(Fault::Cut) });
    }

    #[test]
    fn chance_follows_the_seed() {
        let hits = |seed| {
            let injector = Injector::new(seed);
            injector.set(vec![FaultRule::new(Fault::Reset).probability(0.25)]).unwrap();
            (0..4000).map(|_| judge(&injector, Endpoint::Show, 1).fault.is_some()).collect::<Vec<_>>()
        };
        assert_eq!(hits(3), hits(3));
        assert_ne!(hits(3), hits(4));
        let share = hits(3).iter().filter(|hit| **hit).count();
        assert!((800..1200).contains(&share), "{share} of 4000");
    }
}
