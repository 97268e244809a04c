//! CPU time, memory and cores, from `/proc` (Linux).

use std::fs;

use anyhow::{Context as _, Result};

/// The system counts CPU time in these units, 100 a second on every Linux.
const TICK_US: u64 = 10_000;

/// CPU time a process has used, in user and system mode and over all its threads, in microseconds.
pub fn cpu_us(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    // The name in parentheses may hold anything; utime and stime are the 14th and 15th field.
    let (_, fields) = text.rsplit_once(')').with_context(|| format!("{path} is not as expected"))?;
    let ticks: Vec<u64> = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    anyhow::ensure!(ticks.len() == 2, "{path} is not as expected");
    Ok(ticks.iter().sum::<u64>() * TICK_US)
}

/// Memory of a process that is resident, in bytes.
pub fn rss_bytes(pid: u32) -> Result<u64> {
    status_bytes(pid, "VmRSS")
}

/// The most memory of a process that was resident at one time since [`forget_peak`], in bytes.
pub fn peak_bytes(pid: u32) -> Result<u64> {
    status_bytes(pid, "VmHWM")
}

/// Begins [`peak_bytes`] anew.
pub fn forget_peak(pid: u32) -> Result<()> {
    let path = format!("/proc/{pid}/clear_refs");
    fs::write(&path, "5").with_context(|| format!("cannot write {path}"))
}

fn status_bytes(pid: u32, name: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let line = line.with_context(|| format!("{path}: no {name}"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().with_context(|| format!("{path}: {name}"))?;
    Ok(kib * 1024)
}

/// The machine in one line: CPU model, cores, memory, kernel.
pub fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("unknown CPU", |(_, model)| model.trim());
    let memory = read("/proc/meminfo");
    let kib = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok());
    let gib = kib.unwrap_or(0u64) / (1024 * 1024);
    let virtual_machine = if cpus.contains("hypervisor") { ", virtual" } else { "" };
    let release = read("/proc/sys/kernel/osrelease");
    let kernel: Vec<&str> = release.trim().split('.').take(2).collect();
    format!("{model} ({} cores{virtual_machine}), {gib} GiB, Linux {}", cores(), kernel.join("."))
}

/// Cores this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The median; 0 of nothing.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[odd / 2],
        even => f64::midpoint(values[even / 2 - 1], values[even / 2]),
    }
}
