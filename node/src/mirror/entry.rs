//! Converts events to entries of the stream, and to lines of the original's log.

use api::model::{CrawlChange, Event, EventId, EventKind, JobChange, Mark, SessionChange};

/// The fields of an entry, names and values in turn. Every entry has `number`, `at` (cluster time, ms) and `type`;
/// the others depend on the type.
pub(crate) fn fields(event: &Event) -> Vec<String> {
    let mut fields = Fields::begin(event.number, event.at);
    match &event.kind {
        EventKind::Crawl { crawl, change } => {
            fields.kind(crawl_type(change)).put("crawl", crawl);
            match change {
                CrawlChange::Submitted { name, operations } => {
                    fields.put("name", name).put("operations", operations);
                }
                CrawlChange::Targets { accepted, duplicates } => {
                    fields.put("accepted", accepted).put("duplicates", duplicates);
                }
                CrawlChange::Retried { accounts } => {
                    fields.put("accounts", accounts);
                }
                CrawlChange::Sealed
                | CrawlChange::Paused
                | CrawlChange::Resumed
                | CrawlChange::Cancelled
                | CrawlChange::Deleted
                | CrawlChange::Finished => {}
            }
        }
        EventKind::Job { crawl, job, user, operation, change } => {
            fields.kind(job_type(change)).put("crawl", crawl).put("job", job).put("user", user);
            fields.put("operation", operation.letter());
            job_fields(&mut fields, change);
        }
        EventKind::Session { node, session, change } => {
            fields.kind(session_type(change)).put("node", node).put("session", session);
        }
        EventKind::Leader { node, term } => {
            fields.kind("leader").put("node", node).put("term", term);
        }
        EventKind::Money(Mark::App { app, cycle, percent }) => {
            fields.kind("money-spent").put("app", app).put("percent", percent);
            if let Some(cycle) = cycle {
                fields.put("cycle", cycle);
            }
        }
        EventKind::Money(Mark::Crawl { crawl, percent }) => {
            fields.kind("money-spent").put("crawl", crawl).put("percent", percent);
        }
    }
    fields.0
}

fn job_fields(fields: &mut Fields, change: &JobChange) {
    match change {
        JobChange::Granted { node, lease, attempt } => {
            fields.put("node", node).put("lease", lease).put("attempt", attempt);
        }
        JobChange::Progressed { cursor, items } => {
            fields.put("cursor", cursor);
            if let Some(items) = items {
                fields.put("items", items);
            }
        }
        JobChange::Discovered { admitted, discarded } => {
            fields.put("admitted", admitted).put("discarded", discarded);
        }
        JobChange::Fetched { items } | JobChange::Completed { items } => {
            fields.put("items", items);
        }
        JobChange::Limited { after_ms } => {
            fields.put("after_ms", after_ms);
        }
        JobChange::Gone { reason } => {
            fields.put("reason", reason.name());
        }
        JobChange::Retried { reason, after_ms } => {
            fields.put("reason", reason).put("after_ms", after_ms);
        }
        JobChange::Failed { reason, cursor } => {
            fields.put("reason", reason);
            if let Some(cursor) = cursor {
                fields.put("cursor", cursor);
            }
        }
        JobChange::Ended { state } => {
            fields.put("state", state.name());
        }
        JobChange::Returned => {}
    }
}

/// The fields of an entry that stands for lost events. `through` is the number of the last one.
pub(super) fn gap(after: EventId, through: u64, at: u64) -> Vec<String> {
    let mut fields = Fields::begin(through, at);
    fields.kind("gap").put("after", after);
    fields.0
}

struct Fields(Vec<String>);

impl Fields {
    fn begin(number: u64, at: u64) -> Self {
        let mut fields = Self(Vec::with_capacity(20));
        fields.put("number", number).put("at", at);
        fields
    }

    fn kind(&mut self, kind: &str) -> &mut Self {
        self.put("type", kind)
    }

    fn put(&mut self, name: &str, value: impl ToString) -> &mut Self {
        self.0.push(name.to_owned());
        self.0.push(value.to_string());
        self
    }
}

fn crawl_type(change: &CrawlChange) -> &'static str {
    match change {
        CrawlChange::Submitted { .. } => "submitted",
        CrawlChange::Targets { .. } => "targets",
        CrawlChange::Sealed => "sealed",
        CrawlChange::Paused => "paused",
        CrawlChange::Resumed => "resumed",
        CrawlChange::Cancelled => "cancelled",
        CrawlChange::Deleted => "deleted",
        CrawlChange::Finished => "finished",
        CrawlChange::Retried { .. } => "errors-retried",
    }
}

fn job_type(change: &JobChange) -> &'static str {
    match change {
        JobChange::Granted { .. } => "granted",
        JobChange::Progressed { .. } => "progressed",
        JobChange::Discovered { .. } => "discovered",
        JobChange::Fetched { .. } => "fetched",
        JobChange::Completed { .. } => "completed",
        JobChange::Limited { .. } => "limited",
        JobChange::Gone { .. } => "gone",
        JobChange::Retried { .. } => "retried",
        JobChange::Failed { .. } => "failed",
        JobChange::Returned => "returned",
        JobChange::Ended { .. } => "ended",
    }
}

fn session_type(change: &SessionChange) -> &'static str {
    match change {
        SessionChange::Opened => "session-opened",
        SessionChange::Ended { graceful: true } => "session-closed",
        SessionChange::Ended { graceful: false } => "session-lost",
    }
}

/// The line of the original's log; `None` for the many events of single jobs that are no problem.
pub(super) fn log_text(event: &Event) -> Option<String> {
    Some(match &event.kind {
        EventKind::Crawl { crawl, change } => match change {
            CrawlChange::Submitted { name, operations } => {
                format!("[crawl {crawl}] submitted: {operations} {name}")
            }
            CrawlChange::Targets { .. } => return None,
            CrawlChange::Retried { accounts } => {
                format!("[crawl {crawl}] {accounts} failed accounts run again")
            }
            other => format!("[crawl {crawl}] {}", crawl_type(other)),
        },
        EventKind::Job { crawl, user, operation, change, .. } => match change {
            JobChange::Failed { reason, .. } => {
                format!("[crawl {crawl}] {operation} of {user} failed: {reason}")
            }
            _ => return None,
        },
        EventKind::Session { node, change, .. } => format!("[node {node}] {}", session_type(change)),
        EventKind::Leader { node, term } => format!("[node {node}] leads in term {term}"),
        EventKind::Money(Mark::App { app, percent, .. }) => {
            format!("[app {app}] has spent {percent} % of its limit in this billing cycle")
        }
        EventKind::Money(Mark::Crawl { crawl, percent }) => {
            format!("[crawl {crawl}] has spent {percent} % of its limit of money")
        }
    })
}
