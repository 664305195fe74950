//! The node of a twm cluster: the crawler and its environment.
//!
//! [`run::run`] shows how the parts fit together: [`settings`], the replicated tracker (crate `raft`), the
//! [`session`] that takes jobs from it, and the [`crawl`] that does them with a [`source`] from an [`address`] within
//! its [`budget`].

pub mod address;
pub mod budget;
pub mod crawl;
pub mod follow;
pub mod http;
pub mod http_client;
pub mod logs;
pub mod mirror;
pub mod monitor;
pub mod provenance;
pub mod purse;
pub mod rate;
pub mod run;
pub mod session;
pub mod settings;
pub mod source;
