//! Random faults and kills: however a run is disturbed, the same command, repeated, brings all.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{MIB, Random, SMALL_PARTS, SOURCE, WAYS, World, end, kill, object};
use s3bulk_test_server::{Fault, Object, Operation, Rule, When};

/// How often each of the faults of a seed strikes.
const PROBABILITY: f64 = 0.05;
/// How many kinds of faults a seed has.
const KINDS: usize = 5;
/// How many runs of a seed are killed at most.
const KILLS: u64 = 6;

const SMALL: usize = 60;
const LARGE: u64 = 2;

/// What passes by itself. (Not an empty 200: of an abort it is believed.)
fn transient() -> Vec<Fault> {
    vec![
        Fault::SlowDown,
        Fault::TooManyRequests,
        Fault::InternalError,
        Fault::ServiceUnavailable,
        Fault::ResetBefore,
        Fault::ResetAfter,
        Fault::ErrorIn200,
        Fault::MalformedXml,
        Fault::CutXml,
        Fault::Truncated,
        Fault::WrongLength,
        Fault::Corrupted,
        Fault::CorruptedRequest,
        Fault::Drip(Duration::from_millis(200)),
        Fault::Hang(Duration::from_secs(600)),
    ]
}

/// Five kinds of faults, on all operations.
fn disturb(world: &World, random: &mut Random) -> Vec<Fault> {
    let mut faults = transient();
    while faults.len() > KINDS {
        faults.swap_remove(usize::try_from(random.below(faults.len() as u64)).unwrap());
    }
    for fault in &faults {
        for operation in Operation::ALL {
            // A body of 5 MiB has a minute to come: too long for a test.
            let takes_long = matches!(operation, Operation::GetObject | Operation::UploadPart);
            if !(takes_long && matches!(fault, Fault::Hang(_))) {
                let rule = Rule::on(*operation, fault.clone()).when(When::Probability(PROBABILITY));
                world.server.faults().add(rule);
            }
        }
    }
    // Slow enough for a kill to come in between.
    let slow = Fault::Latency(Duration::from_millis(20));
    for operation in [Operation::CopyObject, Operation::PutObject, Operation::UploadPart, Operation::UploadPartCopy] {
        world.server.faults().add(Rule::on(operation, slow.clone()));
    }
    faults
}

/// How many runs were killed.
fn survives(seed: u64) -> u64 {
    let mut random = Random(seed);
    let way = WAYS[usize::try_from(seed % 2).unwrap()];
    let world = World::with(s3bulk_test_server::Config { seed, page_size: 25, ..Default::default() });
    let faults = disturb(&world, &mut random);
    // Without a checksum nothing tells of a byte that changes on its way here.
    let may_lack_checksum = !faults.contains(&Fault::Corrupted);
    for n in 0..SMALL {
        let key = format!("in/{n:03}");
        let object = object(&key, n);
        let lacks_checksum = may_lack_checksum && n % 3 == 0;
        world.store().put(SOURCE, &key, if lacks_checksum { object.without_checksum() } else { object });
    }
    for n in 0..LARGE {
        let object = Object::pattern(10 * MIB + 1 + n, n).metadata("n", n.to_string()).tag("t", "v");
        world.store().put(SOURCE, &format!("in/{n:03}-large"), object);
    }
    let args = [&SMALL_PARTS[..], &["--via", way, "--concurrency", "8", "--request-timeout", "2s"]].concat();
    let said = format!("seed {seed}, {way}, {faults:?}");
    let mut kills = 0;
    for _ in 0..random.below(KILLS + 1) {
        let mut child = world.spawn_copy_all(&args);
        std::thread::sleep(Duration::from_millis(30 + random.below(700)));
        if child.try_wait().unwrap().is_some() {
            let ran = end(child);
            assert_eq!(ran.code, Some(0), "{said}: {ran:?}");
        } else {
            kill(child);
            kills += 1;
        }
    }
    let ran = end(world.spawn_copy_all(&args)).expect_sums();
    assert_eq!(ran.code, Some(0), "{said}: {ran:?}");
    assert_eq!(ran.count("resumed") + ran.count("done"), SMALL as u64 + LARGE, "{said}: {ran:?}");
    assert!(world.server.faults().injected() > 0);
    world.assert_copied();
    assert_eq!(world.open_uploads(), [""; 0], "{said}: {ran:?}");
    kills
}

#[test]
fn random_faults_and_kills_lose_nothing() {
    // More of them, where somebody wants more.
    let seeds: Vec<u64> = match std::env::var("S3BULK_SEED") {
        Ok(seeds) => seeds.split(',').map(|seed| seed.parse().unwrap()).collect(),
        Err(_) => (1..=10).collect(),
    };
    let ended: Vec<(u64, std::thread::Result<u64>)> = std::thread::scope(|scope| {
        let runs: Vec<_> = seeds.iter().map(|seed| (*seed, scope.spawn(|| survives(*seed)))).collect();
        runs.into_iter().map(|(seed, run)| (seed, run.join())).collect()
    });
    let panicked: Vec<u64> = ended.iter().filter(|(_, ended)| ended.is_err()).map(|(seed, _)| *seed).collect();
    assert!(panicked.is_empty(), "seeds {panicked:?}: S3BULK_SEED=N,N runs these");
    let kills: u64 = ended.into_iter().filter_map(|(_, kills)| kills.ok()).sum();
    assert!(kills > 0 || seeds.len() < 10);
}
