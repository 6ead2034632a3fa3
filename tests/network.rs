//! Proxies, certificates of one's own, and what a store's log says of us.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]
#[path = "common/network.rs"]
mod network;

mod common;

use common::{DEST, Ran, SOURCE, World, run};
use network::{Proxy, Tls};

/// Copies `in/` to `out/` by way of `endpoint`, with more of the environment.
fn copy(world: &World, endpoint: &str, args: &[&str], variables: &[(&str, &str)]) -> Ran {
    let (from, to) = (format!("s3://{SOURCE}/in/"), format!("s3://{DEST}/out/"));
    let all = [&["copy", "--endpoint-url", endpoint, "--json", &from, &to], args].concat();
    let mut command = world.command(&all);
    command.envs(variables.iter().copied());
    run(command)
}

#[test]
fn a_copy_goes_through_the_proxy_and_believes_the_bundle() {
    let world = World::new();
    world.fill(20);
    let (tls, proxy) = (Tls::before(&world.server.endpoint()), Proxy::start());
    let bundle = tls.bundle(world.home.path());
    for (name, way) in [("HTTPS_PROXY", "server"), ("https_proxy", "client"), ("ALL_PROXY", "server")] {
        let before = proxy.heads().len();
        let ran = copy(
            &world,
            &tls.endpoint(),
            &["--via", way],
            &[(name, &format!("http://me:hunter2@{}", proxy.address)), ("AWS_CA_BUNDLE", bundle.to_str().unwrap())],
        );
        assert_eq!(ran.expect(0).count("done"), 20);
        world.assert_copied();
        let heads = proxy.heads().split_off(before);
        assert!(!heads.is_empty());
        for head in heads {
            assert!(head.starts_with(&format!("CONNECT {} HTTP/1.1\r\n", tls.address)), "{head}");
            // me:hunter2
            assert!(head.to_lowercase().contains("proxy-authorization: basic bwu6ahvudgvymg=="), "{head}");
        }
    }
}

#[test]
fn what_needs_no_proxy_goes_by_itself() {
    let world = World::new();
    world.fill(3);
    let (tls, proxy) = (Tls::before(&world.server.endpoint()), Proxy::start());
    let bundle = tls.bundle(world.home.path());
    for rule in ["127.0.0.1", "*", "x.example, 127.0.0.0/8"] {
        let ran = copy(
            &world,
            &tls.endpoint(),
            &[],
            &[("HTTPS_PROXY", &proxy.address), ("NO_PROXY", rule), ("AWS_CA_BUNDLE", bundle.to_str().unwrap())],
        );
        ran.expect(0);
        assert!(proxy.heads().is_empty(), "{rule}: {:?}", proxy.heads());
    }
}

#[test]
fn a_certificate_that_nobody_vouches_for_ends_it_before_it_begins() {
    let world = World::new();
    world.fill(1);
    let tls = Tls::before(&world.server.endpoint());
    let ran = copy(&world, &tls.endpoint(), &[], &[]).expect(10);
    assert!(ran.stderr.contains("certificate") && ran.stderr.contains("AWS_CA_BUNDLE"), "{ran:?}");
    // Another's authority.
    let other = Tls::before(&world.server.endpoint()).bundle(world.home.path());
    let ran = copy(&world, &tls.endpoint(), &[], &[("AWS_CA_BUNDLE", other.to_str().unwrap())]).expect(10);
    assert!(ran.stderr.contains("certificate"), "{ran:?}");
}

#[test]
fn a_profile_may_name_the_bundle() {
    let world = World::new();
    world.fill(1);
    let tls = Tls::before(&world.server.endpoint());
    let config = world.home.path().join("config");
    let bundle = tls.bundle(world.home.path());
    std::fs::write(&config, format!("[default]\nca_bundle = {}\n", bundle.display())).unwrap();
    copy(&world, &tls.endpoint(), &[], &[("AWS_CONFIG_FILE", config.to_str().unwrap())]).expect(0);
}

#[test]
fn a_bundle_or_a_proxy_that_is_none_is_refused() {
    let world = World::new();
    let endpoint = world.server.endpoint();
    let file = world.home.path().join("empty.pem");
    std::fs::write(&file, "").unwrap();
    for bundle in [file.to_str().unwrap(), "/no/such/file"] {
        let ran = copy(&world, &endpoint, &[], &[("AWS_CA_BUNDLE", bundle)]).expect(2);
        assert!(ran.said(bundle) == 1 && ran.stderr.lines().count() == 1, "{ran:?}");
    }
    for url in ["http://me:hunter2@", "socks5://me:hunter2@proxy:1080"] {
        let ran = copy(&world, &endpoint, &[], &[("HTTPS_PROXY", url)]).expect(2);
        assert!(ran.said("prox") == 1 && !ran.stderr.contains("hunter2"), "{ran:?}");
    }
}

#[test]
fn plain_endpoints_go_through_their_own_proxy() {
    let world = World::new();
    world.fill(20);
    let (proxy, other) = (Proxy::start(), Proxy::start());
    let endpoint = world.server.endpoint();
    for name in ["http_proxy", "HTTP_PROXY"] {
        let before = proxy.heads().len();
        let variables = [(name, proxy.address.as_str()), ("HTTPS_PROXY", &other.address)];
        copy(&world, &endpoint, &[], &variables).expect(0);
        world.assert_copied();
        assert!(proxy.heads().len() > before);
    }
    assert!(proxy.heads().iter().all(|head| head.contains(&format!(" {endpoint}/"))), "{:?}", proxy.heads());
    assert!(other.heads().is_empty(), "{:?}", other.heads());
}

#[test]
fn each_request_names_the_program_and_its_job() {
    let world = World::new();
    world.fill(5);
    let proxy = Proxy::start();
    let endpoint = world.server.endpoint();
    let version = env!("CARGO_PKG_VERSION");
    let ran = copy(&world, &endpoint, &[], &[("HTTP_PROXY", &proxy.address)]).expect(0);
    // The job's short name begins its checkpoint's.
    let checkpoint = ran.json()["checkpoint"].as_str().unwrap().to_owned();
    let job = checkpoint.rsplit('-').next().unwrap()[..8].to_owned();
    let agents = proxy.values("user-agent");
    assert!(agents.len() > 5);
    for agent in agents {
        assert!(agent.starts_with(&format!("s3bulk/{version} job/{job} aws-sdk-rust/")), "{agent}");
    }
    let proxy = Proxy::start();
    copy(&world, &endpoint, &["--job-id", "nightly"], &[("HTTP_PROXY", &proxy.address)]).expect(0);
    assert!(proxy.values("user-agent").iter().all(|agent| agent.contains(" job/nightly ")));
}

/// The hosts that a listing of `location` asks for, at AWS itself.
fn asked(location: &str, args: &[&str], variables: &[(&str, &str)]) -> Vec<String> {
    let (world, proxy) = (World::new(), Proxy::start());
    let config = world.home.path().join("config");
    std::fs::write(&config, "[profile both]\nuse_dualstack_endpoint = true\nuse_fips_endpoint = true\n").unwrap();
    let mut command = world.command(&[&["list", "--no-checkpoint", location], args].concat());
    command.env("AWS_CONFIG_FILE", config).envs(variables.iter().copied());
    command.env("HTTPS_PROXY", &proxy.address);
    run(command).expect(10);
    let mut hosts: Vec<_> = proxy.heads().iter().map(|head| head.split(' ').nth(1).unwrap().to_owned()).collect();
    hosts.dedup();
    hosts
}

#[test]
fn the_variants_of_the_endpoint_are_those_that_are_configured() {
    let asked = |args: &[&str], variables: &[(&str, &str)]| {
        asked("s3://abc-bucket/", &[args, &["--region", "us-west-2"]].concat(), variables)
    };
    assert_eq!(asked(&[], &[]), ["abc-bucket.s3.us-west-2.amazonaws.com:443"]);
    assert_eq!(
        asked(&[], &[("AWS_USE_DUALSTACK_ENDPOINT", "true")]),
        ["abc-bucket.s3.dualstack.us-west-2.amazonaws.com:443"]
    );
    assert_eq!(asked(&[], &[("AWS_USE_FIPS_ENDPOINT", "true")]), ["abc-bucket.s3-fips.us-west-2.amazonaws.com:443"]);
    assert_eq!(asked(&[], &[("AWS_PROFILE", "both")]), ["abc-bucket.s3-fips.dualstack.us-west-2.amazonaws.com:443"]);
}

#[test]
fn an_access_point_is_asked_in_its_own_region() {
    let arn = "arn:aws:s3:eu-west-1:123456789012:accesspoint/mine";
    let host = "mine-123456789012.s3-accesspoint.eu-west-1.amazonaws.com:443";
    assert_eq!(asked(&format!("s3://{arn}/x/"), &["--region", "us-east-1"], &[]), [host]);
    assert_eq!(asked(&format!("s3://{arn}"), &[], &[]), [host]);
    let everywhere = "arn:aws:s3::123456789012:accesspoint:mfzwi23gnjvgw.mrap";
    assert_eq!(
        asked(&format!("s3://{everywhere}/x/"), &["--region", "us-east-1"], &[]),
        ["mfzwi23gnjvgw.mrap.accesspoint.s3-global.amazonaws.com:443"]
    );
}

#[test]
fn those_that_give_credentials_are_asked_through_the_proxy_and_machines_are_not() {
    let world = World::new();
    let (token, config) = (world.home.path().join("token"), world.home.path().join("config"));
    std::fs::write(&token, "a.b.c").unwrap();
    let role = "arn:aws:iam::123456789012:role/copier";
    let profile =
        format!("[profile p]\nregion = eu-west-1\nrole_arn = {role}\nweb_identity_token_file = {}\n", token.display());
    std::fs::write(&config, profile).unwrap();
    let heads = |args: &[&str], variables: &[(&str, &str)]| {
        let proxy = Proxy::start();
        let mut command = world.command(&[&["list", "--no-checkpoint", "s3://abc-bucket/"], args].concat());
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY").env("AWS_CONFIG_FILE", &config);
        command.env("ALL_PROXY", &proxy.address).envs(variables.iter().copied());
        let ran = run(command).expect(10);
        assert!(ran.stderr.contains("no credentials"), "{ran:?}");
        proxy.heads()
    };
    let sts = "CONNECT sts.eu-west-1.amazonaws.com:443 ";
    let variables =
        [("AWS_ROLE_ARN", role), ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()), ("AWS_REGION", "eu-west-1")];
    for asked in [heads(&[], &variables), heads(&["--profile", "p"], &[])] {
        assert!(!asked.is_empty() && asked.iter().all(|head| head.starts_with(sts)), "{asked:?}");
    }
    assert!(heads(&[], &[("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/role")]).is_empty());
    assert!(heads(&[], &[("AWS_EC2_METADATA_DISABLED", "false")]).is_empty());
}
