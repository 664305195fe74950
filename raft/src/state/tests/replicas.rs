//! Random runs: the tracker agrees with the model, and replicas that restart at any point agree with each
//! other.

use super::replica::Replica;
use super::world::World;

fn run(seed: u64, steps: u32, replicas: Vec<Replica>, restarts: bool) {
    let mut world = World::new(seed, replicas, restarts);
    for _ in 0..steps {
        world.step();
    }
    world.finish();
}

#[test]
fn twm_c1_every_account_ends_in_the_state_that_a_plain_model_gives_it() {
    for seed in 0..40 {
        run(seed, 700, vec![Replica::in_memory()], false);
    }
}

#[test]
fn a_replica_that_restarts_anywhere_goes_on_like_one_that_never_stopped() {
    for seed in 100..125 {
        let replicas = (0..3).map(|_| Replica::in_memory()).collect();
        run(seed, 400, replicas, true);
    }
}

#[test]
fn a_replica_on_disk_that_restarts_anywhere_goes_on_like_one_in_memory() {
    for seed in 200..202 {
        let folder = tempfile::tempdir().unwrap();
        run(seed, 150, vec![Replica::in_memory(), Replica::on_disk(folder.path())], true);
    }
}
