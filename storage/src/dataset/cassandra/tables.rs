//! The tables, and the statements on them.

use std::collections::BTreeSet;

use crate::net::cassandra::{CassandraError, CassandraProblem, Keyspace, Statement};

/// Version of the tables.
pub const SCHEMA: &str = "2";
/// Versions that can be completed: version 1 had no table `provenance`.
pub(super) const OLDER: [&str; 1] = ["1"];
/// Row of the table `settings`: the version of the tables.
pub(super) const SCHEMA_ROW: &str = "schema";
/// Seconds that a server may miss a deletion before the deletion is forgotten. No row is written again after it was
/// deleted, so a row that comes back is found again (a draft), or is waste (a block). Not below the three hours for which
/// servers keep what others have missed.
const FORGET_DRAFTS: u32 = 3 * 3600;
const FORGET_BLOCKS: u32 = 24 * 3600;

/// A table.
struct Table {
    name: &'static str,
    columns: &'static [(&'static str, &'static str)],
    key: &'static str,
    /// Seconds after which deletions are forgotten, unless Cassandra's ten days do: the table has none.
    forget: Option<u32>,
}

const TABLES: [Table; 5] = [
    Table { name: "settings", columns: &[("name", "text"), ("value", "text")], key: "name", forget: None },
    Table {
        name: "files",
        columns: &[
            ("source", "text"),
            ("account", "text"),
            ("kind", "text"),
            ("name", "text"),
            ("version", "uuid"),
            ("storage", "text"),
            ("epoch", "bigint"),
            ("lease", "bigint"),
            ("blocks", "int"),
            ("bytes", "bigint"),
            ("items", "bigint"),
            ("newest", "text"),
            ("replaced", "uuid"),
            ("replaced_blocks", "int"),
        ],
        key: "(source, account, kind), name",
        forget: None,
    },
    Table {
        name: "drafts",
        columns: &[
            ("epoch", "bigint"),
            ("shard", "int"),
            ("source", "text"),
            ("account", "text"),
            ("kind", "text"),
            ("lease", "bigint"),
            ("version", "uuid"),
            ("begun", "bigint"),
            ("blocks", "int"),
            ("bytes", "bigint"),
            ("items", "bigint"),
            ("newest", "text"),
            ("based_on", "uuid"),
        ],
        key: "(epoch, shard), source, account, kind, lease, version",
        forget: Some(FORGET_DRAFTS),
    },
    Table {
        name: "blocks",
        columns: &[
            ("source", "text"),
            ("account", "text"),
            ("kind", "text"),
            ("version", "uuid"),
            ("bucket", "int"),
            ("number", "int"),
            ("part", "int"),
            ("first", "text"),
            ("last", "text"),
            ("data", "blob"),
        ],
        key: "(source, account, kind, version, bucket), number",
        forget: Some(FORGET_BLOCKS),
    },
    Table {
        name: "provenance",
        columns: &[("name", "text"), ("bytes", "bigint"), ("data", "blob")],
        key: "name",
        forget: None,
    },
];

/// What creates the tables.
pub(super) fn statements(keyspace: &str) -> Vec<String> {
    let of_table = |Table { name, columns, key, forget }: &Table| {
        let columns: Vec<_> = columns.iter().map(|(name, kind)| format!("{name} {kind}")).collect();
        let columns = columns.join(", ");
        let options = forget.map(|seconds| format!(" WITH gc_grace_seconds = {seconds}"));
        let options = options.unwrap_or_default();
        format!("CREATE TABLE IF NOT EXISTS {keyspace}.{name} ({columns}, PRIMARY KEY ({key})){options}")
    };
    TABLES.iter().map(of_table).collect()
}

/// Ensures that the keyspace exists, and has the tables of this version.
pub(super) fn check(keyspace: &Keyspace) -> Result<(), CassandraError> {
    let doing = "check the schema";
    let name = keyspace.name().to_owned();
    let columns = keyspace
        .prepare("SELECT table_name, column_name, type FROM system_schema.columns WHERE keyspace_name = ?")?;
    if replication(keyspace)?.is_none() {
        return Err(keyspace.error(doing, CassandraProblem::NoKeyspace(name)));
    }
    let found: Vec<(String, String, String)> = keyspace.rows(doing, &columns, (name,))?;
    let found: BTreeSet<_> = found.into_iter().collect();
    let has_version =
        found.iter().any(|(table, column, _)| (table.as_str(), column.as_str()) == ("settings", "value"));
    let older = if has_version { version(keyspace)? } else { None };
    if let Some(older) = older.filter(|version| OLDER.contains(&version.as_str())) {
        let why = format!("its tables have version {older:?}, and this program needs version {SCHEMA:?}");
        return Err(schema(keyspace, why));
    }
    let text = |(a, b, c): (&str, &str, &str)| (a.to_owned(), b.to_owned(), c.to_owned());
    let mut wanted = TABLES
        .iter()
        .flat_map(|table| table.columns.iter().map(move |(column, kind)| text((table.name, column, kind))));
    if let Some((table, column, kind)) = wanted.find(|column| !found.contains(column)) {
        return Err(schema(keyspace, format!("its table {table} has no column {column} of type {kind}")));
    }
    match version(keyspace)? {
        Some(version) if version == SCHEMA => Ok(()),
        Some(other) => {
            let why = format!(
                "the tables of keyspace {} have version {other:?}, and this program writes version {SCHEMA:?}; use the \
                 program of that version, or another keyspace",
                keyspace.name()
            );
            Err(keyspace.error(doing, CassandraProblem::Schema(why)))
        }
        None => Err(schema(keyspace, "it has no version of its tables".to_owned())),
    }
}

fn schema(keyspace: &Keyspace, why: String) -> CassandraError {
    let why = format!(
        "keyspace {} is not complete: {why}; complete it with `twm-ctl dataset init {}`",
        keyspace.name(),
        keyspace.place()
    );
    keyspace.error("check the schema", CassandraProblem::Schema(why))
}

/// The version of the tables, if it is there.
pub(super) fn version(keyspace: &Keyspace) -> Result<Option<String>, CassandraError> {
    let cql = format!("SELECT value FROM {}.settings WHERE name = ?", keyspace.name());
    let read = keyspace.prepare(&cql)?.serial();
    let rows: Vec<(Option<String>,)> =
        keyspace.rows("read the version of the tables", &read, (SCHEMA_ROW,))?;
    Ok(rows.into_iter().next().and_then(|(value,)| value))
}

/// How many replicas the keyspace has, in all data centres together; `None` without the keyspace.
pub(super) fn replication(keyspace: &Keyspace) -> Result<Option<u32>, CassandraError> {
    type Options = std::collections::HashMap<String, String>;
    let read = keyspace.prepare("SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = ?")?;
    let rows: Vec<(Options,)> =
        keyspace.rows("read the replication", &read, (keyspace.name().to_owned(),))?;
    let replicas = |options: Options| -> u32 {
        let numbers = options.iter().filter(|(name, _)| *name != "class").map(|(_, value)| value);
        // `3/1` has transient ones.
        numbers.filter_map(|value| value.split('/').next()?.parse::<u32>().ok()).sum()
    };
    Ok(rows.into_iter().next().map(|(options,)| replicas(options)))
}

/// The statements on the tables.
#[derive(Debug)]
pub(super) struct Statements {
    pub(super) read_setting: Statement,
    pub(super) swap_setting: Statement,
    pub(super) read_files: Statement,
    pub(super) read_head: Statement,
    pub(super) list_files: Statement,
    pub(super) swap_head: Statement,
    pub(super) empty_head: Statement,
    pub(super) add_aside: Statement,
    pub(super) begin_draft: Statement,
    pub(super) finish_draft: Statement,
    pub(super) read_draft: Statement,
    pub(super) list_drafts: Statement,
    pub(super) remove_draft: Statement,
    pub(super) write_block: Statement,
    pub(super) read_blocks: Statement,
    pub(super) find_block: Statement,
    pub(super) remove_blocks: Statement,
    pub(super) any_file: Statement,
    pub(super) any_draft: Statement,
    pub(super) write_batch: Statement,
    pub(super) find_batch: Statement,
    pub(super) read_batch: Statement,
    pub(super) list_batches: Statement,
}

impl Statements {
    pub(super) fn prepare(keyspace: &Keyspace) -> Result<Self, CassandraError> {
        let name = keyspace.name();
        let prepare = |cql: &str| keyspace.prepare(&cql.replace("KEYSPACE", name));
        const FILE: &str = "source = ? AND account = ? AND kind = ?";
        const DRAFT: &str =
            "epoch = ? AND shard = ? AND source = ? AND account = ? AND kind = ? AND lease = ?";
        let head = "SELECT name, version, storage, epoch, lease, blocks, bytes, items, newest, replaced, replaced_blocks \
             FROM KEYSPACE.files";
        let block = format!("{FILE} AND version = ? AND bucket = ?");
        Ok(Self {
            read_setting: prepare("SELECT value FROM KEYSPACE.settings WHERE name = ?")?.serial(),
            swap_setting: prepare("UPDATE KEYSPACE.settings SET value = ? WHERE name = ? IF value = ?")?,
            read_files: prepare(&format!("{head} WHERE {FILE}"))?.serial(),
            read_head: prepare(&format!("{head} WHERE {FILE} AND name = ''"))?,
            list_files: prepare(
                "SELECT source, account, kind, name, version, blocks, bytes FROM KEYSPACE.files",
            )?,
            swap_head: prepare(&format!(
                "UPDATE KEYSPACE.files SET version = ?, storage = ?, epoch = ?, lease = ?, blocks = ?, bytes = ?, items = ?, \
                 newest = ?, replaced = ?, replaced_blocks = ? WHERE {FILE} AND name = '' IF version = ?"
            ))?,
            empty_head: prepare(&format!(
                "UPDATE KEYSPACE.files SET version = ?, blocks = 0, bytes = 0, items = 0, newest = null \
                 WHERE {FILE} AND name = '' IF version = ?"
            ))?,
            add_aside: prepare(
                "INSERT INTO KEYSPACE.files (source, account, kind, name, version, blocks, bytes, items) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS",
            )?,
            begin_draft: prepare(
                "INSERT INTO KEYSPACE.drafts (epoch, shard, source, account, kind, lease, version, begun) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            )?,
            finish_draft: prepare(&format!(
                "UPDATE KEYSPACE.drafts SET blocks = ?, bytes = ?, items = ?, newest = ?, based_on = ? \
                 WHERE {DRAFT} AND version = ?"
            ))?,
            read_draft: prepare(&format!(
                "SELECT version, begun, blocks, bytes, items, newest, based_on FROM KEYSPACE.drafts WHERE {DRAFT}"
            ))?,
            list_drafts: prepare(
                "SELECT source, account, kind, lease FROM KEYSPACE.drafts WHERE epoch = ? AND shard = ?",
            )?,
            remove_draft: prepare(&format!(
                "DELETE FROM KEYSPACE.drafts USING TIMESTAMP ? WHERE {DRAFT} AND version = ?"
            ))?,
            write_block: prepare(
                "INSERT INTO KEYSPACE.blocks (source, account, kind, version, bucket, number, part, first, last, data) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )?,
            read_blocks: prepare(&format!(
                "SELECT number, part, first, last, data FROM KEYSPACE.blocks WHERE {block} AND number >= ? AND number < ?"
            ))?,
            find_block: prepare(&format!("SELECT number FROM KEYSPACE.blocks WHERE {block} LIMIT 1"))?,
            remove_blocks: prepare(&format!("DELETE FROM KEYSPACE.blocks USING TIMESTAMP ? WHERE {block}"))?,
            any_file: prepare("SELECT kind FROM KEYSPACE.files LIMIT 1")?,
            any_draft: prepare("SELECT kind FROM KEYSPACE.drafts LIMIT 1")?,
            write_batch: prepare("INSERT INTO KEYSPACE.provenance (name, bytes, data) VALUES (?, ?, ?)")?,
            find_batch: prepare("SELECT bytes FROM KEYSPACE.provenance WHERE name = ?")?,
            read_batch: prepare("SELECT data FROM KEYSPACE.provenance WHERE name = ?")?,
            list_batches: prepare("SELECT name, bytes FROM KEYSPACE.provenance")?,
        })
    }
}
