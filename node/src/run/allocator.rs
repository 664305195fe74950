//! Settings of the process's allocator.
//!
//! By default, glibc gives up to eight threads per core an arena each, and what was freed in one does not serve
//! another; and after the first large block was freed, it keeps blocks of up to 32 MiB in its arenas. Bodies of
//! answers, some hundred kilobytes each, then leave holes between live blocks in every arena: an analysis of ten
//! million followers took 509 MB in addition to its seen-set, where 310 are enough.

/// Blocks from this size on, in bytes, are mapped separately and returned as a whole. Smaller ones are bodies of
/// answers: mapping each of them costs a tenth of an analysis's CPU time.
const MAPPED: i32 = 1 << 20;
/// Free memory kept at the end of an arena, bytes.
const KEPT: i32 = 4 << 20;

/// Memory is returned once queues and seen-sets have shrunk by this many bytes.
const WORTH_GIVING_BACK: usize = 32 << 20;

/// Configures the allocator. Call it before the first thread is started: existing arenas stay.
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

/// Returns all free memory to the system. Queues and seen-sets consist of many small blocks: when a crawl ends,
/// theirs are free in the middle of an arena, where the allocator keeps them. Takes some milliseconds per gigabyte.
#[cfg(target_env = "gnu")]
#[allow(unsafe_code)]
pub(super) fn give_back() {
    // SAFETY: malloc_trim(3) takes a number and gives back pages in which nothing is allocated, under the allocator's own
    // locks.
    let given = unsafe { libc::malloc_trim(0) };
    tracing::debug!(given, "free memory was given back to the system");
}

/// Other allocators do this by themselves.
#[cfg(not(target_env = "gnu"))]
pub(super) fn give_back() {}

/// Decides when enough has been freed.
#[derive(Debug, Default)]
pub(super) struct Freed {
    /// The most that was held since the last return.
    most: usize,
}

impl Freed {
    /// Given the bytes held now, whether it is worth returning memory.
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
