//! Few seeds, so that everybody's test run has some; `ops/simulate` has more.

use std::collections::BTreeSet;

use super::{Outcome, Plan, simulate};

fn simulated(seed: u64, steps: u64) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_owned();
    let plan = Plan { seed, nodes: 3, steps, folder, without: BTreeSet::new(), trace: None, workforce: None };
    simulate(&plan)
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let (once, again) = (simulated(1, 3_000), simulated(1, 3_000));
    assert!(once.digest.lines > 5_000, "{:?}", once.digest);
    assert_eq!(once.digest, again.digest);
    assert_eq!(once.deeds, again.deeds);
    assert_ne!(once.digest, simulated(2, 3_000).digest);
}

#[test]
fn clusters_keep_the_promise_through_faults() {
    for seed in 10..14 {
        let Outcome { failure, deeds, crawls, accounts, .. } = simulated(seed, 3_000);
        assert_eq!(failure, None, "seed {seed}:\n{}", deeds.join("\n"));
        assert!(crawls > 5 && accounts > 100, "seed {seed}: {crawls} crawls, {accounts} accounts");
    }
}
