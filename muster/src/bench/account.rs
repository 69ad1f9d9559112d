//! What the kernel says of a process: processor time and memory.

/// Clock ticks a second in `/proc/PID/stat` (`USER_HZ`, 100 on every Linux that we run on).
const TICKS_PER_S: f64 = 100.0;

/// Seconds of processor time that a process has taken, user and system, all threads.
pub(super) fn cpu_s(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The program's name may have blanks; the fields are counted behind its closing parenthesis.
    let after = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    let ticks: f64 =
        after.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<f64>().ok()).sum();
    ticks / TICKS_PER_S
}

/// Its resident memory in MiB.
pub(super) fn rss_mib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap_or_default();
    let kib: f64 = line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or_default();
    kib / 1024.0
}
