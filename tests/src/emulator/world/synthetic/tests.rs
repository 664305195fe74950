use std::collections::HashSet;

use super::*;

fn world(options: SyntheticOptions) -> Synthetic {
    Synthetic::new(options).unwrap()
}

fn followers(world: &Synthetic, id: u64) -> Vec<u64> {
    let mut all = Vec::new();
    world.followers(id, 0, usize::MAX, &mut all);
    all
}

#[test]
fn ids_and_screen_names_lead_back_to_the_account() {
    for ids in [IdScheme::Ascending, IdScheme::Hashed] {
        let world = world(SyntheticOptions { ids, ..SyntheticOptions::new(1000, 3) });
        for position in 0..1000 {
            let id = world.at(position).unwrap();
            assert!(id > 0);
            assert_eq!(world.number(id), Some(position + 1));
            let name = world.screen_name(position + 1);
            assert!(name.len() <= 15);
            assert_eq!(world.find(&name.to_uppercase()), Some(id));
        }
        assert_eq!(world.at(1000), None);
        assert!(!world.knows(world.id(1001)));
        assert!(!world.knows(0));
        assert!(!world.knows(u64::MAX));
        assert_eq!(world.find("nobody"), None);
        assert_eq!(world.find("nobody99999999999999999999999"), None);
    }
}

#[test]
fn the_same_seed_gives_the_same_world_and_another_one_another() {
    let timeline = |seed| {
        let world = world(SyntheticOptions::new(50, seed));
        let id = (1..=50).max_by_key(|id| world.tweet_count(*id)).unwrap();
        (world.tweets(id), followers(&world, id), world.profile(id))
    };
    assert_eq!(timeline(1), timeline(1));
    assert_ne!(timeline(1), timeline(2));
}

#[test]
fn follower_pages_join_without_gap_repetition_or_the_account_itself() {
    let options =
        SyntheticOptions { celebrity: Some(700), outside_percent: 5.0, ..SyntheticOptions::new(400, 9) };
    let world = world(options);
    let whole = followers(&world, 1);
    assert_eq!(whole.len(), 700);
    assert_eq!(whole.iter().collect::<HashSet<_>>().len(), 700);
    assert!(!whole.contains(&1));
    assert!(whole.iter().any(|id| !world.knows(*id)), "700 followers of 400 users cannot all be known");
    let mut pages = Vec::new();
    for offset in (0..800).step_by(37) {
        world.followers(1, offset, 37, &mut pages);
    }
    assert_eq!(pages, whole);
}

#[test]
fn follower_counts_follow_a_power_law() {
    let world = world(SyntheticOptions::new(200_000, 5));
    let counts: Vec<u64> = (1..=200_000).map(|n| world.follower_total(n)).collect();
    let mean = counts.iter().sum::<u64>() as f64 / counts.len() as f64;
    assert!((60.0..240.0).contains(&mean), "mean {mean}");
    let above = |bound| counts.iter().filter(|c| **c > bound).count() as f64;
    // In the tail, twice the count is 2^1.3 times less frequent, at every scale.
    for bound in [500, 1000, 2000] {
        let ratio = above(bound) / above(2 * bound);
        assert!((1.9..3.3).contains(&ratio), "{ratio} at {bound}");
    }
    assert!(counts.contains(&0));
}

#[test]
fn tweets_are_valid_ordered_and_about_as_large_as_real_ones() {
    let world = world(SyntheticOptions::new(300, 4));
    let (mut bytes, mut tweets) = (0, 0);
    for id in 1..=300 {
        let ids = world.timeline_ids(id);
        assert!(ids.windows(2).all(|pair| pair[0] > pair[1]));
        for (tweet, tweet_id) in world.tweets(id).iter().zip(&ids) {
            assert_eq!(tweet_id.to_string().len(), 18);
            bytes += tweet.len();
            tweets += 1;
            if tweets % 50 != 0 {
                continue;
            }
            let tweet: serde_json::Value = serde_json::from_slice(tweet).unwrap();
            assert_eq!(tweet["id"], *tweet_id);
            assert_eq!(tweet["id_str"], tweet_id.to_string());
            assert_eq!(tweet["user"]["id"], id);
            assert!(tweet["entities"]["hashtags"].is_array());
        }
    }
    let mean = bytes / tweets;
    assert!((2300..2550).contains(&mean), "a tweet has {mean} bytes on average");
    assert!((100..400).contains(&(tweets / 300)));
}

#[test]
fn profiles_are_valid_and_tell_the_truth() {
    let world = world(SyntheticOptions::new(500, 8));
    for id in 1..=500 {
        let profile: serde_json::Value = serde_json::from_slice(&world.profile(id).unwrap()).unwrap();
        assert_eq!(profile["id"], id);
        assert_eq!(profile["followers_count"], world.follower_count(id));
        assert!(profile["statuses_count"].as_u64().unwrap() >= world.timeline_ids(id).len() as u64);
        assert_eq!(world.find(profile["screen_name"].as_str().unwrap()), Some(id));
    }
    let italians = (1..=500).filter(|n| world.language(*n).code == "it").count();
    assert!((20..90).contains(&italians), "{italians} of 500");
}

#[test]
fn a_hundred_million_followers_cost_no_more_than_their_page() {
    let world = world(SyntheticOptions { celebrity: Some(100_000_000), ..SyntheticOptions::new(1000, 1) });
    let mut page = Vec::new();
    world.followers(1, 99_999_990, 5000, &mut page);
    assert_eq!(page.len(), 10);
}
