//! What the ledger refused, and when to ask again.

use std::collections::BTreeMap;
use std::time::Duration;

use api::model::{Amount, AppName, Exhausted};
use storage::env::Clock;

use super::{Key, NoMoney, SHORTEST_WAIT};

/// How often the ledger is asked again while others hold what is missing.
const WHILE_HELD: Duration = Duration::from_secs(1);
/// How often it is asked again at the latest: an operator may have raised a limit.
const AT_LATEST: Duration = Duration::from_secs(60);
/// How often a crawl's limit is asked again.
const OF_CRAWL: Duration = Duration::from_secs(30);
/// How often the network is asked for its date when a cycle should be over.
const DATE_EVERY: Duration = Duration::from_secs(5);

/// Refusals, by app and crawl, and what follows for apps.
#[derive(Default)]
pub(super) struct Waits {
    refused: BTreeMap<Key, Refused>,
    apps: BTreeMap<AppName, Wait>,
    /// Everything is given back, and nothing taken any more.
    pub(super) closing: bool,
}

struct Refused {
    what: String,
    /// Not before, monotonic.
    again_at: Duration,
    /// When the app's cycle ends, by the network's clock, Unix seconds.
    until: Option<u64>,
}

/// An app that has nothing left.
struct Wait {
    until: Option<u64>,
    /// Not before, monotonic, unless the local clock passes `until`.
    again_at: Duration,
    /// When the network was last asked for its date, monotonic.
    asked: Option<Duration>,
}

impl Waits {
    /// A budget has nothing left.
    pub(super) fn refuse(
        &mut self,
        key: &Key,
        (of, until, held): (Exhausted, Option<u64>, bool),
        least: u64,
        clock: &dyn Clock,
    ) {
        let now = clock.monotonic();
        let least = Amount(least);
        let (what, again) = match of {
            Exhausted::Crawl => {
                (format!("crawl {} has less than {least} left of its limit", key.1), OF_CRAWL)
            }
            Exhausted::App => {
                (format!("app {} has less than {least} left in its billing cycle", key.0), AT_LATEST)
            }
        };
        let again_at = now + if held { WHILE_HELD } else { again };
        if of == Exhausted::App {
            // Each end of a wait is asked for at once.
            let same = self.apps.get(&key.0).filter(|wait| wait.until == until);
            let asked = same.and_then(|wait| wait.asked);
            self.apps.insert(key.0.clone(), Wait { until, again_at, asked });
        }
        // What others hold may come back long before the cycle ends.
        let until = until.filter(|_| !held);
        self.refused.insert(key.clone(), Refused { what, again_at, until });
    }

    /// Something else keeps a crawl from spending by an app.
    pub(super) fn block(&mut self, key: &Key, what: &str, clock: &dyn Clock) {
        let again_at = clock.monotonic() + WHILE_HELD * 10;
        self.refused.insert(key.clone(), Refused { what: what.to_owned(), again_at, until: None });
    }

    /// The ledger has granted something.
    pub(super) fn granted(&mut self, key: &Key) {
        self.refused.remove(key);
        self.apps.remove(&key.0);
    }

    /// The refusal that still holds.
    pub(super) fn refused(&self, key: &Key, clock: &dyn Clock) -> Option<NoMoney> {
        let refused = self.refused.get(key)?;
        let left = refused.again_at.checked_sub(clock.monotonic()).filter(|left| !left.is_zero())?;
        let cycle_ends_in =
            refused.until.map(|until| Duration::from_secs(until).saturating_sub(clock.wall()));
        let after = match cycle_ends_in {
            // The network is asked for its date now and then.
            Some(Duration::ZERO) => left.min(DATE_EVERY),
            // Or sooner, in case that more is allowed.
            Some(ends_in) => ends_in.min(AT_LATEST),
            None => left,
        };
        Some(NoMoney { what: refused.what.clone(), after: after.max(SHORTEST_WAIT) })
    }

    pub(super) fn is_date_due(&mut self, app: &str, clock: &dyn Clock) -> bool {
        let (now, wall) = (clock.monotonic(), clock.wall().as_secs());
        let Some(wait) = self.apps.get_mut(app) else { return false };
        let over = wait.until.is_none_or(|until| until <= wall);
        let rested = wait.asked.is_none_or(|asked| now.saturating_sub(asked) >= DATE_EVERY);
        if over && rested {
            wait.asked = Some(now);
        }
        over && rested
    }

    pub(super) fn ask_again(&mut self, app: &str) {
        self.refused.iter_mut().filter(|((of, _), _)| **of == *app).for_each(|(_, refused)| {
            refused.again_at = Duration::ZERO;
        });
    }

    /// How many jobs may start that spend by an app.
    pub(super) fn room(&self, app: &str, usual: usize, clock: &dyn Clock) -> usize {
        match self.apps.get(app) {
            None => usual,
            Some(wait) => {
                let over = wait.until.is_some_and(|until| until <= clock.wall().as_secs());
                usize::from(over || wait.again_at <= clock.monotonic()).min(usual)
            }
        }
    }

    pub(super) fn waits(&self, app: &str) -> bool {
        self.apps.contains_key(app)
    }

    /// Forgets refusals of crawls that nobody asks for any more.
    pub(super) fn forget_old(&mut self, clock: &dyn Clock) {
        let now = clock.monotonic();
        self.refused.retain(|_, refused| refused.again_at + AT_LATEST > now);
    }
}
