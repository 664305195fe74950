//! `ops/pool` on an interface of a network namespace.

use std::path::Path;

use anyhow::ensure;
use tokio::process::Command;
use twm_tests::cluster::Program;

/// Runs a script in a network namespace with the interface `d0`, which disappears with the namespace.
async fn in_namespace(script: &str) -> anyhow::Result<(bool, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let script =
        format!("exec 2>&1; ip link add d0 type veth peer name d1 && ip link set d0 up && {{ {script}; }}");
    let mut command = Command::new("unshare");
    command.args(["--net", "bash", "-c", &script]).current_dir(root).env("TWM_NODE", Program::Node.path()?);
    let output = command.output().await?;
    Ok((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
}

#[tokio::test]
async fn a_pool_is_added_once_and_removed_without_the_interfaces_own_address() -> anyhow::Result<()> {
    let script = "ip addr add 192.0.2.1/24 dev d0
        ops/pool up --interface d0 192.0.2.16/29,2001:db8::10-2001:db8::12
        ops/pool up --interface d0 192.0.2.16/29 2001:db8::10-2001:db8::12
        ip -o addr show dev d0 | awk '{ print $4 }' | grep -v ^fe80 | sort | paste -sd' '
        ops/pool down --interface d0 192.0.2.0/24 2001:db8::10
        ip -o addr show dev d0 | awk '{ print $4 }' | grep -v ^fe80 | sort | paste -sd' '";
    let (success, said) = in_namespace(script).await?;
    let lines: Vec<&str> = said.lines().collect();
    let [first, second, up, removed, left] = lines[..] else { anyhow::bail!("{success}: {said}") };
    ensure!(first == "pool: 9 of 9 addresses changed on d0", "{said}");
    ensure!(second == "pool: 0 of 9 addresses changed on d0", "{said}");
    for address in ["192.0.2.1/24", "192.0.2.17/32", "192.0.2.22/32", "2001:db8::10/128", "2001:db8::12/128"]
    {
        ensure!(up.split(' ').any(|has| has == address), "{address}: {said}");
    }
    ensure!(!up.contains("192.0.2.16/") && !up.contains("192.0.2.23/"), "{said}");
    ensure!(removed == "pool: 7 of 255 addresses changed on d0", "{said}");
    ensure!(left == "192.0.2.1/24 2001:db8::11/128 2001:db8::12/128", "{said}");
    Ok(())
}

#[tokio::test]
async fn a_bad_range_is_named_and_nothing_is_changed() -> anyhow::Result<()> {
    let script = "ops/pool up --interface d0 192.0.2.9 192.0.2.9-192.0.2.1; echo code $?; ip -o addr show dev d0 | grep -c 192";
    let (_, said) = in_namespace(script).await?;
    ensure!(said.contains("192.0.2.9-192.0.2.1") && said.contains("ends before it begins"), "{said}");
    ensure!(said.contains("code 2") && said.trim_end().ends_with('0'), "{said}");
    Ok(())
}

#[tokio::test]
async fn workers_are_started_with_the_addresses_that_were_added() -> anyhow::Result<()> {
    let script = "node=$TWM_NODE; unset TWM_NODE
        ops/start-workers --interface d0 --range 192.0.2.5,192.0.2.6 -- $node --print-ips
        ip -o addr show dev d0 | grep -c 192
        ops/start-workers --interface d0 --range 192.0.2.7 -- ./no-such-node; echo code $?
        ip -o addr show dev d0 | grep -c 192";
    let (_, said) = in_namespace(script).await?;
    let lines: Vec<&str> = said.lines().collect();
    let [added, five, six, before, missing, code, after] = lines[..] else { anyhow::bail!("{said}") };
    ensure!(added == "pool: 2 of 2 addresses changed on d0", "{said}");
    ensure!((five, six, before) == ("192.0.2.5", "192.0.2.6", "2"), "{said}");
    ensure!(missing.contains("there is no program ./no-such-node") && code == "code 1", "{said}");
    ensure!(after == "2", "{said}");
    Ok(())
}
