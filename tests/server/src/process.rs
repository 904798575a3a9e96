//! What Linux knows of a process.
use std::fs;

/// Resident memory of a process that is its own, in kB; `None` when it is gone.
pub fn memory(pid: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The processes that a process has started and that are still there.
///
/// # Panics
/// When there is no `/proc`.
pub fn children(of: i32) -> Vec<i32> {
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|&pid| parent(pid) == Some(of)).collect()
}

fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may hold anything, a bracket included.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}
