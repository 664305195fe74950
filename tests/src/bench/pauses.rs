//! Times without a grant to any client.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The longest times between two grants since the last call of [`Pauses::take`].
pub(super) struct Pauses {
    seen: Mutex<Seen>,
}

struct Seen {
    last: Instant,
    longest: Longest,
}

/// The longest times without a grant.
#[derive(Clone, Copy, Default)]
pub(super) struct Longest {
    /// To any client.
    pub(super) to_any: Duration,
    /// To a single client: the one that waited longest.
    pub(super) to_one: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { seen: Mutex::new(Seen { last: Instant::now(), longest: Longest::default() }) }
    }
}

impl Pauses {
    /// Records a grant to a client; `own_last` is the time of the client's previous grant.
    pub(super) fn granted(&self, own_last: &mut Instant) {
        let now = Instant::now();
        let Seen { last, longest } = &mut *self.lock();
        longest.to_any = longest.to_any.max(now.saturating_duration_since(*last));
        longest.to_one = longest.to_one.max(now.saturating_duration_since(*own_last));
        *last = now;
        *own_last = now;
    }

    /// The longest times since the last call, including a pause that has not ended.
    pub(super) fn take(&self) -> Longest {
        let mut seen = self.lock();
        let mut longest = std::mem::take(&mut seen.longest);
        let now = seen.last.elapsed();
        longest.to_any = longest.to_any.max(now);
        longest.to_one = longest.to_one.max(now);
        longest
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test]
    async fn the_longest_pause_is_found_also_while_it_goes_on() {
        let ms = Duration::from_millis;
        let pauses = Pauses::default();
        let (mut first, mut second) = (Instant::now(), Instant::now());
        sleep(ms(3)).await;
        pauses.granted(&mut first);
        sleep(ms(4)).await;
        pauses.granted(&mut second);
        let longest = pauses.take();
        assert!(longest.to_any >= ms(4) && longest.to_one >= ms(7) && longest.to_one > longest.to_any);
        sleep(ms(9)).await;
        let longest = pauses.take();
        assert!(longest.to_any >= ms(9) && longest.to_one >= ms(9));
    }
}
