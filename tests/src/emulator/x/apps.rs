//! The apps: their tokens, their windows and their bills.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use storage::env::Clock;

use super::api::XEndpoint;
use super::bill::{Bill, Billing, Overdraft};
use super::problem::Refusal;
use crate::emulator::Budget;
use crate::emulator::limits::{Allowance, Window};

/// What goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XFault {
    /// The request is served and charged, and the connection is reset before the answer.
    LoseAnswer,
    /// The same, and the connection stays silent.
    Hang,
    /// 503, and nothing is charged.
    Unavailable,
    /// The request is served and charged, and its body is cut short.
    CutShort,
}

/// A charged object, for the deduplication of a day.
pub(super) type Object = (char, u64);

struct App {
    name: String,
    revoked: bool,
    enrolled: bool,
    windows: HashMap<XEndpoint, Option<Window>>,
    requests: BTreeMap<XEndpoint, u64>,
    violations: u64,
    bills: BTreeMap<u64, Bill>,
    /// The day, and what was charged in it.
    charged: (u64, HashSet<Object>),
}

struct Books {
    by_token: BTreeMap<String, App>,
    faults: VecDeque<Option<XFault>>,
    billing: Billing,
}

/// The apps of one account.
pub(super) struct Apps {
    host: &'static str,
    limits: BTreeMap<XEndpoint, Budget>,
    clock: Arc<dyn Clock>,
    books: Mutex<Books>,
}

impl Apps {
    pub fn new(
        host: &'static str,
        tokens: Vec<(String, String)>,
        limits: BTreeMap<XEndpoint, Budget>,
        billing: Billing,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let app = |(name, token)| {
            let app = App {
                name,
                revoked: false,
                enrolled: true,
                windows: HashMap::new(),
                requests: BTreeMap::new(),
                violations: 0,
                bills: BTreeMap::new(),
                charged: (0, HashSet::new()),
            };
            (token, app)
        };
        let by_token = tokens.into_iter().map(app).collect();
        let books = Mutex::new(Books { by_token, faults: VecDeque::new(), billing });
        Self { host, limits, clock, books }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Seconds since 1970 by the API's clock.
    pub fn now(&self) -> u64 {
        self.clock.wall().as_secs()
    }

    /// Admits a request: the window that it was counted in, and why it is refused, if it is.
    pub fn admit(&self, token: &str, endpoint: XEndpoint) -> (Option<Allowance>, Result<(), Refusal>) {
        let now = self.now();
        let mut books = self.books();
        let overdrawn = books.overdrawn(now);
        let (overdraft, end) = (books.billing.overdraft, books.billing.end_of(books.billing.cycle_at(now)));
        let Some(app) = books.by_token.get_mut(token).filter(|app| !app.revoked) else {
            return (None, Err(Refusal::unauthorized()));
        };
        if !app.enrolled {
            return (None, Err(Refusal::forbidden(self.host)));
        }
        *app.requests.entry(endpoint).or_default() += 1;
        let allowance = self
            .limits
            .get(&endpoint)
            .map(|budget| Window::charge(app.windows.entry(endpoint).or_default(), *budget, &*self.clock));
        if allowance.is_some_and(|allowance| allowance.exhausted) {
            app.violations += 1;
            return (allowance, Err(Refusal::too_many_requests()));
        }
        let refusal = match overdraft {
            _ if !overdrawn => return (allowance, Ok(())),
            Overdraft::Credits => Refusal::credits(self.host),
            Overdraft::SpendCap => Refusal::spend_cap(self.host, &super::objects::iso_date(end)),
            Overdraft::UsageCap => Refusal::usage_cap(self.host),
        };
        (allowance, Err(refusal))
    }

    /// Charges the objects of an answer.
    pub fn charge(&self, token: &str, objects: Vec<Object>) {
        let now = self.now();
        let mut books = self.books();
        let (cycle, once) = (books.billing.cycle_at(now), books.billing.daily_deduplication);
        let Some(app) = books.by_token.get_mut(token) else { return };
        if app.charged.0 != now / 86_400 {
            app.charged = (now / 86_400, HashSet::new());
        }
        let bill = app.bills.entry(cycle).or_default();
        for object in objects {
            if once && !app.charged.1.insert(object) {
                continue;
            }
            match object.0 {
                'p' => bill.posts += 1,
                'f' => bill.followers += 1,
                _ => bill.users += 1,
            }
        }
    }

    /// The fault of the next request, if one was asked for.
    pub fn next_fault(&self) -> Option<XFault> {
        self.books().faults.pop_front().flatten()
    }

    pub fn plan(&self, faults: impl IntoIterator<Item = Option<XFault>>) {
        self.books().faults.extend(faults);
    }

    pub fn change_billing(&self, change: impl FnOnce(&mut Billing)) {
        change(&mut self.books().billing);
    }

    pub fn billing(&self) -> Billing {
        self.books().billing.clone()
    }

    /// Whether there was an app with this name to revoke or to strike off.
    pub fn revoke(&self, name: &str) -> bool {
        self.change(name, |app| app.revoked = true)
    }

    pub fn strike_off(&self, name: &str) -> bool {
        self.change(name, |app| app.enrolled = false)
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut App)) -> bool {
        let mut books = self.books();
        let app = books.by_token.values_mut().find(|app| app.name == name);
        app.map(change).is_some()
    }

    pub fn bill(&self, name: &str, cycle: Option<u64>) -> Bill {
        self.of(name, |app| {
            let mut sum = Bill::default();
            app.bills
                .iter()
                .filter(|(n, _)| cycle.is_none_or(|cycle| cycle == **n))
                .for_each(|(_, b)| sum.add(*b));
            sum
        })
    }

    pub fn requests(&self, name: &str, endpoint: XEndpoint) -> u64 {
        self.of(name, |app| app.requests.get(&endpoint).copied().unwrap_or(0))
    }

    pub fn violations(&self, name: &str) -> u64 {
        self.of(name, |app| app.violations)
    }

    fn of<T: Default>(&self, name: &str, look: impl FnOnce(&App) -> T) -> T {
        self.books().by_token.values().find(|app| app.name == name).map(look).unwrap_or_default()
    }
}

impl Books {
    fn overdrawn(&self, now: u64) -> bool {
        let (Some(limit), cycle) = (self.billing.limit, self.billing.cycle_at(now)) else { return false };
        let spent = |app: &App| app.bills.get(&cycle).map_or(0, |bill| bill.micros(&self.billing.prices));
        self.by_token.values().map(spent).sum::<u64>() >= limit
    }
}
