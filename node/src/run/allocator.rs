//! How the process's allocator goes about memory that was freed.
//!
//! By default glibc gives up to eight threads a core an arena each, and what was freed in one serves no other; and
//! after the first large piece was freed it keeps pieces of up to 32 MiB in its arenas. Bodies of answers, some
//! hundred kilobytes each, then leave holes between what stays, in every arena: an analysis of ten million followers
//! took 509 MB beside its seen-set where 310 are enough.

/// From this size on, in bytes, memory is mapped for itself and goes back as a whole. Smaller ones are bodies of answers, for
/// which a mapping each costs a tenth of an analysis' CPU time.
const MAPPED: i32 = 1 << 20;
/// So much free memory at the end of an arena is kept, in bytes.
const KEPT: i32 = 4 << 20;

/// So much less in queues and seen-sets, in bytes, is worth giving memory back.
const WORTH_GIVING_BACK: usize = 32 << 20;

/// Sets the allocator. Call it before the first thread is started: arenas that there are stay.
#[cfg(target_env = "gnu")]
#[allow(unsafe_code)]
pub(super) fn settle() {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let settings = [
        (libc::M_ARENA_MAX, i32::try_from(cores).unwrap_or(i32::MAX)),
        (libc::M_MMAP_THRESHOLD, MAPPED),
        (libc::M_TRIM_THRESHOLD, KEPT),
    ];
    for (parameter, value) in settings {
        // SAFETY: mallopt(3) takes two numbers, refuses those that it does not know, and touches nothing but the
        // allocator's own settings, under its own lock.
        let taken = unsafe { libc::mallopt(parameter, value) };
        if taken == 0 {
            tracing::debug!(parameter, value, "the allocator keeps its default");
        }
    }
}

/// Other allocators have no such settings.
#[cfg(not(target_env = "gnu"))]
pub(super) fn settle() {}

/// Gives the system all memory that is free. Queues and seen-sets are many small pieces: when a crawl ends, theirs are
/// free in the middle of an arena, where the allocator keeps them. Takes some milliseconds a gigabyte.
#[cfg(target_env = "gnu")]
#[allow(unsafe_code)]
pub(super) fn give_back() {
    // SAFETY: malloc_trim(3) takes a number and gives back pages in which nothing is allocated, under the allocator's own
    // locks.
    let given = unsafe { libc::malloc_trim(0) };
    tracing::debug!(given, "free memory was given back to the system");
}

/// Other allocators do it by themselves.
#[cfg(not(target_env = "gnu"))]
pub(super) fn give_back() {}

/// Tells when enough has been freed.
#[derive(Debug, Default)]
pub(super) struct Freed {
    /// The most that was held since the last time.
    most: usize,
}

impl Freed {
    /// So many bytes are held now: whether it is worth giving memory back.
    pub(super) fn look(&mut self, held: usize) -> bool {
        self.most = self.most.max(held);
        let worth = self.most - held >= WORTH_GIVING_BACK;
        if worth {
            self.most = held;
        }
        worth
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_once_after_much_of_it_was_freed() {
        let mut freed = Freed::default();
        let looks = [0, 100 << 20, 90 << 20, 60 << 20, 59 << 20, 30 << 20, 0, 0];
        assert_eq!(
            looks.map(|held| freed.look(held)),
            [false, false, false, true, false, false, true, false]
        );
        give_back();
    }
}
