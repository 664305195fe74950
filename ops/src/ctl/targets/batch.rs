//! Splits a list into portions of the size of one command.

use storage::ids::UserId;
use tokio::sync::mpsc;

use api::wire::bounds::{FULL_COMMAND, encoded_size};

use super::{BadLine, Entry, ListError, TargetList};

/// Most accounts in one portion; long ids make it smaller.
pub const CHUNK: usize = 5_000;
/// Most bad lines that are reported individually.
pub const NAMED: u64 = 20;
/// Portions read ahead.
const AHEAD: usize = 4;

/// Part of a list.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The accounts; with the names at most [`CHUNK`].
    pub users: Vec<UserId>,
    /// Screen names that are not resolved yet, with their lines.
    pub names: Vec<(u64, String)>,
    /// The first bad lines of the whole list, with their numbers.
    pub named: Vec<(u64, BadLine)>,
    /// Number of bad lines in this part.
    pub bad: u64,
}

/// Reads a list on a thread of its own, because a read can block forever, and yields it in portions. The last
/// one may contain no accounts. A [`ListError`] ends the stream. The thread ends when the receiver is dropped
/// and the current read returns.
pub fn batches(list: TargetList) -> mpsc::Receiver<Result<Batch, ListError>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    std::thread::spawn(move || read(list, &sender));
    receiver
}

/// Size of a name once it is resolved, bytes: that of the longest id.
const NAME_BYTES: usize = 260;

fn read(list: TargetList, sender: &mpsc::Sender<Result<Batch, ListError>>) {
    let mut batch = Batch::default();
    let mut room_to_name = NAMED;
    // By the size of the accounts, not by their number: a portion becomes one command of the cluster.
    let mut bytes = 0;
    for entry in list {
        match entry {
            Ok(Entry::Account(user)) => {
                bytes += encoded_size(&user);
                batch.users.push(user);
            }
            Ok(Entry::Name { line, name }) => {
                bytes += NAME_BYTES;
                batch.names.push((line, name));
            }
            Ok(Entry::Bad { line, why }) => {
                batch.bad += 1;
                if room_to_name > 0 {
                    room_to_name -= 1;
                    batch.named.push((line, why));
                }
            }
            Err(error) => {
                // What was read before the error is sent first: its bad lines may explain it.
                if sender.blocking_send(Ok(batch)).is_ok() {
                    let _ = sender.blocking_send(Err(error));
                }
                return;
            }
        }
        if batch.users.len() + batch.names.len() == CHUNK || bytes >= FULL_COMMAND {
            bytes = 0;
            if sender.blocking_send(Ok(std::mem::take(&mut batch))).is_err() {
                return;
            }
        }
    }
    if batch != Batch::default() {
        let _ = sender.blocking_send(Ok(batch));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn collect(text: String) -> Vec<Batch> {
        let mut receiver = batches(TargetList::from_reader("list", Cursor::new(text)).unwrap());
        let mut all = Vec::new();
        while let Some(batch) = receiver.blocking_recv() {
            all.push(batch.unwrap());
        }
        all
    }

    #[test]
    fn a_long_list_comes_in_portions_in_order() {
        let all = collect((1..=2 * CHUNK as u64 + 1).map(|n| format!("{n}\n")).collect());
        assert_eq!(all.iter().map(|b| b.users.len()).collect::<Vec<_>>(), [CHUNK, CHUNK, 1]);
        let users: Vec<UserId> = all.into_iter().flat_map(|b| b.users).collect();
        assert!(users.iter().zip(1..).all(|(user, n)| *user == UserId::Number(n)));
    }

    #[test]
    fn a_portion_of_the_longest_ids_is_no_longer_than_a_command_may_be() {
        use api::wire::bounds::MAX_COMMAND;
        let text = (0..6_000).map(|n| format!("{n:0>250}@host\n")).collect();
        let all = collect(text);
        assert_eq!(all.iter().map(|b| b.users.len()).sum::<usize>(), 6_000);
        assert!(all.len() > 2 && all.iter().all(|b| encoded_size(&b.users) < MAX_COMMAND));
    }

    #[test]
    fn only_the_first_bad_lines_are_kept() {
        let all = collect("-1\n".repeat(10_000) + "7\n");
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].bad, all[0].named.len(), all[0].users.len()), (10_000, NAMED as usize, 1));
        assert_eq!(all[0].named[19].0, 20);
    }

    #[test]
    fn an_empty_list_has_no_portion() {
        assert_eq!(collect("# nothing\n".to_owned()), []);
    }
}
