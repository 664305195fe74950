//! What the state machine and the workers rely on, see `storage::dataset::Dataset`.

use storage::dataset::provenance::{BatchName, Extent, Record, encode_batch, read_batch};
use storage::dataset::store::Store;
use storage::dataset::{Account, Dataset, DatasetError, FileKey, SavePoint, TimelineDraft, post_id};
use storage::ids::{PostId, UserId};

/// A backend with an empty output, which several nodes share.
pub trait Backend {
    /// The dataset as one further node sees it.
    fn node(&self) -> Box<dyn Dataset>;

    /// Puts bytes in place of a published file, as a disk or an operator might.
    fn put(&self, key: &FileKey, bytes: &[u8]);

    /// The dataset as tools see it.
    fn store(&self) -> Box<dyn Store>;
}

/// A record of a publication of an account's timeline.
pub fn record(user: u64, lease: u64) -> Record {
    Record {
        key: FileKey::timeline(&user.into()),
        crawl: Some(7),
        operation: 'T',
        begun: Some(std::time::Duration::from_secs(1_700_000_000 + lease)),
        ended: Some(std::time::Duration::from_secs(1_700_000_010 + lease)),
        published: std::time::Duration::from_secs(1_700_000_011 + lease),
        items: Some(500),
        node: 1,
        lease,
        epoch: 0,
        extent: Some(Extent::default()),
    }
}

/// A batch of the records of these leases.
pub fn batch(leases: impl IntoIterator<Item = u64>) -> Vec<u8> {
    let lines: Vec<String> = leases.into_iter().map(|lease| record(lease, lease).to_line()).collect();
    encode_batch(lines.iter().map(String::as_str))
}

pub fn batch_name(number: u64) -> BatchName {
    BatchName { node: 1, spool: 5, number }
}

/// The batches, with the leases of their records, and what was said of those that could not be read.
fn batches(backend: &dyn Backend) -> (Vec<(u64, Vec<u64>)>, Vec<String>) {
    let (store, mut found, mut said) = (backend.store(), Vec::new(), Vec::new());
    for listed in store.batches().unwrap() {
        let listed = listed.unwrap();
        assert!(listed.bytes > 0);
        let mut leases = Vec::new();
        match read_batch(&listed.name.stored_name(), store.open_batch(&listed.name).unwrap()) {
            Ok(records) => records.for_each(|record| match record {
                Ok(record) => leases.push(record.lease),
                Err(error) => said.push(error.to_string()),
            }),
            Err(error) => said.push(error.to_string()),
        }
        found.push((listed.name.number, leases));
    }
    found.sort();
    (found, said)
}

fn account() -> Account {
    UserId::Number(22_013_880).into()
}

fn post(id: u64) -> String {
    format!(r#"{{"id": {id}, "text": "post {id}"}}"#)
}

fn push(draft: &mut dyn TimelineDraft, ids: impl IntoIterator<Item = u64>) {
    for id in ids {
        draft.push(&id.into(), &post(id)).unwrap();
    }
}

fn finished(node: &dyn Dataset, account: &Account, lease: u64, ids: impl IntoIterator<Item = u64>) {
    let mut draft = node.begin_timeline(account, lease).unwrap();
    push(&mut *draft, ids);
    draft.finish().unwrap();
}

/// As a node does it: the draft is discarded when the cluster knows of the publication.
fn published(node: &dyn Dataset, account: &Account, lease: u64, ids: impl IntoIterator<Item = u64>) {
    finished(node, account, lease, ids);
    node.publish(&account.timeline(), lease).unwrap();
    node.discard(&account.timeline(), lease).unwrap();
}

fn timeline(node: &dyn Dataset, account: &Account) -> Option<Vec<u64>> {
    let lines = node.open_timeline(account).unwrap()?;
    let id = |line: String| match post_id(&line) {
        Some(PostId::Number(id)) => {
            assert_eq!(line, post(id));
            id
        }
        other => panic!("{line}: {other:?}"),
    };
    Some(lines.map(|line| id(line.unwrap())).collect())
}

fn followers(node: &dyn Dataset, account: &Account) -> Option<Vec<UserId>> {
    Some(node.open_followers(account).unwrap()?.map(Result::unwrap).collect())
}

fn descending(from: u64, to: u64) -> Vec<u64> {
    (to..=from).rev().collect()
}

pub fn a_file_appears_when_it_is_published_and_not_before(backend: &dyn Backend) {
    let (writer, reader) = (backend.node(), backend.node());
    let (account, key) = (account(), account().timeline());
    finished(&*writer, &account, 1, descending(300, 1));
    assert!(!reader.exists(&key).unwrap());
    assert_eq!((timeline(&*reader, &account), reader.stat(&key).unwrap()), (None, None));
    assert_eq!((reader.stamp(&key).unwrap(), reader.newest_post(&account).unwrap()), (0, None));
    writer.publish(&key, 1).unwrap();
    assert!(reader.exists(&key).unwrap());
    assert_eq!(timeline(&*reader, &account), Some(descending(300, 1)));
    assert_eq!(reader.newest_post(&account).unwrap(), Some(PostId::Number(300)));
    assert!(reader.stat(&key).unwrap().unwrap().bytes > 0);
    writer.discard(&key, 1).unwrap();
    assert_eq!(timeline(&*reader, &account), Some(descending(300, 1)));
    assert!(!reader.exists(&account.followers()).unwrap());
}

pub fn an_update_puts_new_posts_before_the_saved_ones(backend: &dyn Backend) {
    let (first, second) = (backend.node(), backend.node());
    let account = account();
    published(&*first, &account, 1, descending(200, 1));
    for (lease, from, to) in [(2, 250, 201), (3, 300, 240)] {
        // The page before the last saved post overlaps.
        let newest = second.newest_post(&account).unwrap();
        assert_eq!(newest, Some(PostId::Number(if lease == 2 { 200 } else { 250 })));
        let mut draft = second.begin_timeline(&account, lease).unwrap();
        push(&mut *draft, descending(from, to));
        draft.save_point().unwrap();
        assert!(draft.append_existing().unwrap().set_aside.is_none());
        draft.finish().unwrap();
        second.publish(&account.timeline(), lease).unwrap();
        second.discard(&account.timeline(), lease).unwrap();
    }
    assert_eq!(timeline(&*first, &account), Some(descending(300, 1)));
}

pub fn any_node_continues_at_a_save_point_while_the_old_writer_wakes_up(backend: &dyn Backend) {
    let (first, second, third) = (backend.node(), backend.node(), backend.node());
    let (account, key) = (account(), account().timeline());
    let mut old = first.begin_timeline(&account, 1).unwrap();
    push(&mut *old, descending(1_000, 801));
    old.save_point().unwrap();
    push(&mut *old, descending(800, 501));
    let saved = old.save_point().unwrap();
    assert_eq!(saved.items, 500);
    push(&mut *old, descending(500, 400));

    let mut new = second.resume_timeline(&account, saved, 1, 2).unwrap();
    // The old worker was only frozen.
    push(&mut *old, descending(399, 300));
    old.save_point().unwrap();
    push(&mut *new, descending(550, 301));
    let again = new.save_point().unwrap();
    assert_eq!(again.items, 700);
    old.finish().unwrap();
    drop(new);
    second.discard(&key, 1).unwrap();

    let mut new = third.resume_timeline(&account, again, 2, 3).unwrap();
    push(&mut *new, descending(300, 1));
    assert_eq!(new.finish().unwrap().items, 1_000);
    third.publish(&key, 3).unwrap();
    assert_eq!(timeline(&*first, &account), Some(descending(1_000, 1)));
}

pub fn a_list_is_continued_and_rewritten_without_repeated_followers(backend: &dyn Backend) {
    let (first, second) = (backend.node(), backend.node());
    let (account, key) = (account(), account().followers());
    let mut old = first.begin_followers(&account, 1).unwrap();
    let text: UserId = "did:plc:a.b".parse().unwrap();
    assert!(old.push(&text).unwrap());
    for id in 1_u64..=5_000 {
        old.push(&id.into()).unwrap();
    }
    let saved = old.save_point().unwrap();
    let mut new = second.resume_followers(&account, saved, 1, 2).unwrap();
    for id in 4_000_u64..=6_000 {
        new.push(&id.into()).unwrap();
    }
    new.save_point().unwrap();
    assert_eq!(new.finish().unwrap().items, 6_001);
    first.publish(&key, 2).unwrap();
    let expected: Vec<UserId> = std::iter::once(text).chain((1_u64..=6_000).map(UserId::from)).collect();
    assert_eq!(followers(&*first, &account), Some(expected));
}

pub fn a_publication_may_be_repeated_by_any_node(backend: &dyn Backend) {
    let (first, second) = (backend.node(), backend.node());
    let (account, key) = (account(), account().timeline());
    finished(&*first, &account, 5, [3, 2]);
    second.publish(&key, 5).unwrap();
    let stamp = second.stamp(&key).unwrap();
    for node in [&first, &second, &backend.node()] {
        node.publish(&key, 5).unwrap();
        assert_eq!(node.stamp(&key).unwrap(), stamp, "nothing was there to be done");
    }
    assert_eq!(timeline(&*first, &account), Some(vec![3, 2]));
}

pub fn a_draft_that_was_lost_is_reported(backend: &dyn Backend) {
    let (first, second) = (backend.node(), backend.node());
    let (account, key) = (account(), account().timeline());
    let lost = |error| matches!(error, DatasetError::DraftLost { lease: 7 | 9, .. });
    assert!(lost(first.publish(&key, 7).unwrap_err()));
    published(&*first, &account, 8, [2]);
    finished(&*first, &account, 9, [3, 2]);
    first.discard(&key, 9).unwrap();
    assert!(lost(second.publish(&key, 9).unwrap_err()));
    assert_eq!(timeline(&*first, &account), Some(vec![2]));
}

pub fn a_save_point_that_was_lost_is_reported(backend: &dyn Backend) {
    let (first, second) = (backend.node(), backend.node());
    let (account, key) = (account(), account().timeline());
    let mut old = first.begin_timeline(&account, 1).unwrap();
    push(&mut *old, descending(100, 1));
    let saved = old.save_point().unwrap();
    for bad in [
        SavePoint { items: 99, ..saved },
        SavePoint { token: saved.token + 1, ..saved },
        SavePoint { token: saved.token - 1, ..saved },
    ] {
        let missing = second.resume_timeline(&account, bad, 1, 2).map(drop).unwrap_err();
        assert!(matches!(missing, DatasetError::DraftMissing { .. }), "{missing}");
    }
    first.discard(&key, 1).unwrap();
    let missing = second.resume_timeline(&account, saved, 1, 2).map(drop).unwrap_err();
    assert!(matches!(missing, DatasetError::DraftMissing { .. }), "{missing}");
    assert!(matches!(
        second.resume_timeline(&account, saved, 2, 2).map(drop),
        Err(DatasetError::SameLease { .. })
    ));
    assert_eq!(second.drafts().unwrap(), []);
}

pub fn a_discarded_draft_leaves_nothing(backend: &dyn Backend) {
    let (node, other) = (backend.node(), backend.node());
    let (account, key) = (account(), account().timeline());
    finished(&*node, &account, 1, [2]);
    let mut draft = node.begin_timeline(&account, 2).unwrap();
    push(&mut *draft, [3]);
    draft.save_point().unwrap();
    assert_eq!(other.drafts().unwrap(), [(key.clone(), 1), (key.clone(), 2)]);
    for lease in [1, 2] {
        node.discard(&key, lease).unwrap();
        other.discard(&key, lease).unwrap();
    }
    assert_eq!((other.drafts().unwrap(), node.drafts().unwrap()), (vec![], vec![]));
    assert!(!other.exists(&key).unwrap());
}

pub fn an_unreadable_file_is_set_aside_and_replaced(backend: &dyn Backend) {
    let (first, second) = (backend.node(), backend.node());
    let (account, key) = (account(), account().timeline());
    let garbage = b"\x1f\x8bno gzip";
    let mut names = Vec::new();
    for lease in [1, 3] {
        published(&*first, &account, lease, [5, 4]);
        backend.put(&key, garbage);
        let Err(DatasetError::SetAside { to, .. }) = second.newest_post(&account) else { panic!("{lease}") };
        names.push(to);
        assert_eq!((first.newest_post(&account).unwrap(), first.exists(&key).unwrap()), (None, false));
        assert_eq!(timeline(&*first, &account), None);
    }
    assert_ne!(names[0], names[1], "nothing that was set aside is replaced");
    assert_eq!(first.set_aside(&key, 0).unwrap(), None);
    backend.put(&key, garbage);
    let mut draft = first.begin_timeline(&account, 4).unwrap();
    push(&mut *draft, [9]);
    let appended = draft.append_existing().unwrap();
    assert!(appended.items == 0 && appended.set_aside.is_some());
    draft.finish().unwrap();
    first.publish(&key, 4).unwrap();
    assert_eq!(timeline(&*second, &account), Some(vec![9]));
    let read = second.stamp(&key).unwrap();
    published(&*first, &account, 5, [10]);
    assert_eq!(second.set_aside(&key, read).unwrap(), None, "it was replaced since it was read");
    assert_eq!(timeline(&*first, &account), Some(vec![10]));
    let to = second.set_aside(&key, second.stamp(&key).unwrap()).unwrap().unwrap();
    assert!(to.contains("22013880.twt.unreadable"), "{to}");
}

pub fn a_stamp_distinguishes_every_version(backend: &dyn Backend) {
    let node = backend.node();
    let (account, key) = (account(), account().timeline());
    let mut stamps = vec![node.stamp(&key).unwrap()];
    for lease in 1..=3 {
        // The last one has the contents of the one before.
        published(&*node, &account, lease, descending(10 + lease.min(2), 1));
        stamps.push(node.stamp(&key).unwrap());
    }
    assert_eq!(stamps[0], 0);
    // A store may call equal contents the same: whoever has one of them has the other.
    stamps.dedup();
    assert!(stamps.len() >= 3 && stamps[1..].iter().all(|stamp| *stamp != 0), "{stamps:?}");
}

pub fn drafts_of_dead_workers_are_listed_and_removed_by_any_node(backend: &dyn Backend) {
    let (first, second) = (backend.node(), backend.node());
    let other = Account { source: "bluesky".parse().unwrap(), user: "did:plc:a.b".parse().unwrap() };
    for (account, lease) in [(account(), 5), (other.clone(), 6)] {
        let mut draft = first.begin_timeline(&account, lease).unwrap();
        push(&mut *draft, [7]);
        draft.save_point().unwrap();
        push(&mut *draft, [6]);
        draft.save_point().unwrap();
    }
    let mut drafts = second.drafts().unwrap();
    drafts.sort();
    assert_eq!(drafts, [(account().timeline(), 5), (other.timeline(), 6)]);
    for (key, lease) in &drafts {
        second.discard(key, *lease).unwrap();
        second.discard(key, *lease).unwrap();
    }
    assert_eq!(second.drafts().unwrap(), []);
}

pub fn accounts_of_two_sources_do_not_meet(backend: &dyn Backend) {
    let node = backend.node();
    let other = Account { source: "mastodon".parse().unwrap(), ..account() };
    published(&*node, &account(), 1, [4, 3]);
    published(&*node, &other, 2, [9]);
    assert_eq!(timeline(&*node, &account()), Some(vec![4, 3]));
    assert_eq!(timeline(&*node, &other), Some(vec![9]));
}

pub fn a_draft_without_items_is_no_file(backend: &dyn Backend) {
    let node = backend.node();
    let draft = node.begin_timeline(&account(), 1).unwrap();
    assert_eq!(draft.finish().unwrap().items, 0);
    let draft = node.begin_followers(&account(), 2).unwrap();
    assert_eq!(draft.finish().unwrap().items, 0);
    assert_eq!(node.drafts().unwrap(), []);
}

pub fn profiles_are_kept_over_leases_and_analyses(backend: &dyn Backend) {
    let (first, second, third) = (backend.node(), backend.node(), backend.node());
    let (account, key) = (account(), account().profiles());
    let line = |n: u64| {
        format!(r#"{{"at":"2026-11-30T00:00:00Z","source":"twitter","crawl":1,"profile":{{"id":{n}}}}}"#)
    };
    let mut old = first.begin_profiles(&account, 1).unwrap();
    (1..=3).for_each(|n| old.push(&line(n)).unwrap());
    let saved = old.save_point().unwrap();
    old.push(&line(99)).unwrap();
    let mut new = second.resume_profiles(&account, saved, 1, 2).unwrap();
    assert_eq!(new.items(), 3);
    old.push(&line(98)).unwrap();
    old.save_point().unwrap();
    new.push(&line(4)).unwrap();
    assert_eq!(new.append_existing().unwrap().items, 0);
    assert_eq!(new.finish().unwrap().items, 4);
    third.publish(&key, 2).unwrap();
    second.discard(&key, 2).unwrap();
    second.discard(&key, 1).unwrap();

    let mut again = third.begin_profiles(&account, 5).unwrap();
    again.push(&line(5)).unwrap();
    assert_eq!(again.append_existing().unwrap().items, 4);
    assert_eq!(again.finish().unwrap().items, 5);
    first.publish(&key, 5).unwrap();
    first.discard(&key, 5).unwrap();
    // It has written to the draft of its old lease since.
    first.discard(&key, 1).unwrap();
    let lines = first.open_profiles(&account).unwrap().unwrap().map(Result::unwrap);
    assert_eq!(lines.collect::<Vec<_>>(), [5, 1, 2, 3, 4].map(line));
    assert_eq!((first.drafts().unwrap(), timeline(&*first, &account)), (vec![], None));

    backend.put(&key, b"no profile\n");
    let mut third = second.begin_profiles(&account, 6).unwrap();
    third.push(&line(6)).unwrap();
    let appended = third.append_existing().unwrap();
    assert!(matches!(appended.set_aside, Some(DatasetError::SetAside { .. })), "{appended:?}");
    third.finish().unwrap();
    second.publish(&key, 6).unwrap();
    assert_eq!(first.open_profiles(&account).unwrap().unwrap().count(), 1);
}

pub fn a_batch_of_provenance_is_there_once_however_often_it_is_written(backend: &dyn Backend) {
    let (first, second) = (backend.node(), backend.node());
    assert_eq!(batches(backend), (vec![], vec![]));
    for node in [&first, &second, &first] {
        // An answer was lost, or the writer was frozen meanwhile.
        node.append_provenance(&batch_name(1), &batch(1..=50)).unwrap();
    }
    second.append_provenance(&batch_name(2), &batch([51])).unwrap();
    let expected = vec![(1, (1..=50).collect()), (2, vec![51])];
    assert_eq!(batches(backend), (expected, vec![]));
    // As tools write it.
    let store = backend.store();
    assert!(!store.create_batch(&batch_name(1), batch([99])).unwrap());
    assert!(store.create_batch(&batch_name(3), batch([52])).unwrap());
    assert_eq!(batches(backend).0.len(), 3);
    assert_eq!(batches(backend).0[0].1.len(), 50);
    assert!(store.open_batch(&batch_name(4)).map(drop).is_err());
}

pub fn a_torn_batch_is_named_and_the_others_are_read(backend: &dyn Backend) {
    let node = backend.node();
    let mut torn = batch(1..=2_000);
    torn.truncate(torn.len() / 2);
    node.append_provenance(&batch_name(1), &torn).unwrap();
    node.append_provenance(&batch_name(2), &batch([7])).unwrap();
    node.append_provenance(&batch_name(3), b"\x1f\x8bno gzip").unwrap();
    let (found, said) = batches(backend);
    assert!((1..2_000).contains(&found[0].1.len()), "{}", found[0].1.len());
    assert_eq!(found[1..], [(2, vec![7]), (3, vec![])]);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said.iter().any(|said| said.contains(".provenance/1-0000000000000005-1.jsonl.gz is unreadable")));
}

pub fn provenance_is_no_file_and_no_draft(backend: &dyn Backend) {
    let node = backend.node();
    node.append_provenance(&batch_name(1), &batch(1..=5)).unwrap();
    published(&*node, &account(), 1, [3, 2]);
    let store = backend.store();
    let files: Vec<String> = store.files().unwrap().map(|file| file.unwrap().name).collect();
    assert_eq!(files, ["22/22013880.twt"]);
    assert_eq!(node.drafts().unwrap(), []);
    assert_eq!(timeline(&*node, &account()), Some(vec![3, 2]));
}
