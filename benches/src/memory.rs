//! The memory of a connection that has embedded a text, beside one that has done nothing.
//!
//! The figure that counts is the proportional set size (Pss), summed over all processes of the cluster, the inference
//! server among them: it counts each page of memory once, however many processes share it, so that the difference between
//! two sums is what came in between, in whichever process. The private memory of the backends by themselves
//! is given beside it; it leaves out what a connection costs the server.

use crate::target::Target;
use crate::texts;
use anyhow::{Context, ensure};
use measure::{Bound, Report, heading, table};
use postgres::Client;
use std::collections::HashMap;
use std::fs;

/// What a connection may cost more than an idle one, in MiB.
const LIMIT_MIB: f64 = 3.0;
const SELECT_ONE: &str = "SELECT 1";

/// Opens idle connections, then as many that embed one text each; all stay open to the end.
///
/// # Errors
/// What PostgreSQL says, and where /proc does not tell.
pub fn measure(target: &mut Target, connections: u32, report: &mut Report) -> anyhow::Result<()> {
    let own: i32 = target.client.query_one("SELECT pg_backend_pid()", &[])?.get(0);
    let postmaster = parents()?.get(&own).copied().context("there is no /proc entry of the backend")?;
    // From the end of the list, where the latency was not measured.
    let numbers = texts::COUNT - connections..texts::COUNT;

    let before = cluster(postmaster)?;
    let idle = open(target, connections, |client, _| client.execute(SELECT_ONE, &[]).map(drop), 0)?;
    let with_idle = cluster(postmaster)?;
    let embedding = open(
        target,
        connections,
        |client, number| client.execute("SELECT clip_embed_text($1)", &[&texts::text(number)]).map(drop),
        numbers.start,
    )?;
    let with_embedding = cluster(postmaster)?;

    let each = |bytes: f64| bytes / f64::from(connections);
    let (idle_pss, embedding_pss) = (each(with_idle - before), each(with_embedding - with_idle));
    let (idle_private, embedding_private) = (private(&idle)?, private(&embedding)?);
    heading(format!("One more connection, mean of {connections}, MiB"));
    let row =
        |name: &str, idle: f64, embedding: f64| [name.to_owned(), mib(idle), mib(embedding), mib(embedding - idle)];
    let rows = [
        row("Pss of all processes", idle_pss, embedding_pss),
        row("private memory of the backend", each(idle_private), each(embedding_private)),
    ];
    println!("{}", table(["", "after SELECT 1", "after one text", "difference"], rows));
    report.limit(
        "connection: after one text over idle, Pss",
        embedding_pss - idle_pss,
        Bound::AtMost(LIMIT_MIB),
        "MiB",
    );
    Ok(())
}

/// MiB.
fn mib(value: f64) -> String {
    format!("{value:.2}")
}

type Backend = (Client, i32);

fn open(
    target: &Target,
    connections: u32,
    work: impl Fn(&mut Client, u32) -> Result<(), postgres::Error>,
    first: u32,
) -> anyhow::Result<Vec<Backend>> {
    let mut backends = Vec::new();
    for number in 0..connections {
        let mut client = target.connect_again()?;
        let pid = client.query_one("SELECT pg_backend_pid()", &[])?.get(0);
        work(&mut client, first + number)?;
        backends.push((client, pid));
    }
    Ok(backends)
}

/// Sum of Pss of a process and all of its descendants, in MiB.
fn cluster(postmaster: i32) -> anyhow::Result<f64> {
    let parents = parents()?;
    let belongs = |mut pid: i32| {
        while pid != postmaster {
            match parents.get(&pid) {
                Some(parent) if *parent != pid && *parent > 1 => pid = *parent,
                _ => return false,
            }
        }
        true
    };
    let mut sum = 0.0;
    for pid in parents.keys().copied().filter(|pid| belongs(*pid)) {
        sum += rollup(pid, &["Pss"])?;
    }
    ensure!(sum > 0.0, "/proc does not tell the memory of process {postmaster}");
    Ok(sum)
}

fn private(backends: &[Backend]) -> anyhow::Result<f64> {
    backends.iter().map(|(_, pid)| rollup(*pid, &["Private_Clean", "Private_Dirty", "Private_Hugetlb"])).sum()
}

/// Sum of some figures of /proc/PID/smaps_rollup, in MiB.
fn rollup(pid: i32, names: &[&str]) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    Ok(kib(&text, names) / 1024.0)
}

fn kib(rollup: &str, names: &[&str]) -> f64 {
    let fields = rollup.lines().filter_map(|line| line.split_once(':'));
    let wanted = fields.filter(|(name, _)| names.contains(name));
    wanted.filter_map(|(_, value)| value.trim().strip_suffix(" kB")?.parse::<f64>().ok()).sum()
}

/// The parent of each process.
fn parents() -> anyhow::Result<HashMap<i32, i32>> {
    let mut parents = HashMap::new();
    for entry in fs::read_dir("/proc").context("reading /proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        // A process that has just ended is not there any more.
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        // The name, in parentheses, may have blanks and parentheses in it.
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        parents.extend(parent.map(|parent| (pid, parent)));
    }
    Ok(parents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_rollup_are_summed() {
        let text = "55d0-7fff ---p 00000000 00:00 0   [rollup]\nRss:  5000 kB\nPss:   120 kB\nPss_Dirty:  7 kB\n\
                    Private_Clean:  3 kB\nPrivate_Dirty:  40 kB\n";
        assert!((kib(text, &["Pss"]) - 120.0).abs() < 1e-9);
        assert!((kib(text, &["Private_Clean", "Private_Dirty"]) - 43.0).abs() < 1e-9);
    }
}
