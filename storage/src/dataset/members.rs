//! Where the members of a compressed file begin and end.

use std::fmt::{Display, Write as _};

/// A gzip member, a zstd frame, or some whole lines of a plain file: each can be read without the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// Position of its first byte in the file.
    pub(super) from: u64,
    /// Position behind its last byte.
    pub(super) to: u64,
    /// Ids of its first and last item, if they are known.
    pub(super) ids: Option<(String, String)>,
}

/// The members of a file that is being written.
#[derive(Debug)]
pub(super) struct Members {
    /// Bytes from which on a member ends with its item.
    most: u64,
    list: Vec<Member>,
    /// Of the member being written: its first and its last item.
    first: String,
    last: String,
}

impl Members {
    /// Members that begin with those of a file that is continued.
    #[cfg(feature = "cassandra")]
    pub(super) fn new(most: u64, list: Vec<Member>) -> Self {
        Self { most, list, first: String::new(), last: String::new() }
    }

    /// The same for an empty file.
    pub(super) fn empty(&self) -> Self {
        Self { most: self.most, list: Vec::new(), first: String::new(), last: String::new() }
    }

    pub(super) fn list(&self) -> &[Member] {
        &self.list
    }

    /// Where the last member ended.
    fn end_of_last(&self) -> u64 {
        self.list.last().map_or(0, |member| member.to)
    }

    /// Whether the member should end here, in a file of so many bytes.
    pub(super) fn is_full(&self, written: u64) -> bool {
        written - self.end_of_last() >= self.most
    }

    /// An item begins.
    pub(super) fn item(&mut self, id: &dyn Display) {
        self.last.clear();
        // Writing to a String cannot fail.
        let _ = write!(self.last, "{id}");
        if self.first.is_empty() {
            self.first.clone_from(&self.last);
        }
    }

    /// The member ends, in a file of so many bytes.
    pub(super) fn end(&mut self, written: u64) {
        let from = self.end_of_last();
        if written == from {
            return;
        }
        let (first, last) = (std::mem::take(&mut self.first), std::mem::take(&mut self.last));
        self.list.push(Member {
            from,
            to: written,
            ids: Some((first, last)).filter(|(first, _)| !first.is_empty()),
        });
    }

    /// Members of another file follow, from one position up to another.
    pub(super) fn append(&mut self, members: &[Member], from: u64, to: u64) {
        let moved = members.iter().map(|member| Member {
            from: from + member.from,
            to: from + member.to,
            ids: member.ids.clone(),
        });
        self.list.extend(moved);
        // Of a file without a list, or with an incomplete one.
        self.end(to);
    }
}

#[cfg(all(test, feature = "cassandra"))]
mod tests {
    use super::*;

    fn member(from: u64, to: u64, ids: Option<(&str, &str)>) -> Member {
        Member { from, to, ids: ids.map(|(first, last)| (first.to_owned(), last.to_owned())) }
    }

    #[test]
    fn members_follow_each_other_without_a_gap_and_know_their_items() {
        let mut members = Members::new(10, vec![member(0, 4, None)]);
        assert!(!members.is_full(13) && members.is_full(14));
        for id in [9, 8, 7] {
            members.item(&id);
        }
        members.end(16);
        members.end(16);
        members.append(&[member(0, 5, Some(("6", "5"))), member(5, 7, None)], 16, 23);
        members.append(&[], 23, 30);
        let expected = [
            member(0, 4, None),
            member(4, 16, Some(("9", "7"))),
            member(16, 21, Some(("6", "5"))),
            member(21, 23, None),
            member(23, 30, None),
        ];
        assert_eq!(members.list(), expected);
        assert_eq!(members.empty().list(), []);
    }
}
