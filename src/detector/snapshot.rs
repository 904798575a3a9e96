//! Which transactions a statement sees.
use pgrx::pg_sys;

/// Which transactions a snapshot shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Snapshot {
    xmin: u32,
    xmax: u32,
    running: Vec<u32>,
}

impl Snapshot {
    /// That of the statement at hand; `None` where none is active.
    pub fn active() -> Option<Self> {
        // SAFETY: the arrays of an active snapshot are as long as it says.
        unsafe {
            if !pg_sys::ActiveSnapshotSet() {
                return None;
            }
            let snapshot = &*pg_sys::GetActiveSnapshot();
            let list = |array: *mut pg_sys::TransactionId, count: usize| {
                let slice = if count == 0 { &[] } else { std::slice::from_raw_parts(array, count) };
                slice.iter().map(|&xid| xid_number(xid))
            };
            let above = list(snapshot.xip, snapshot.xcnt as usize);
            let below = list(snapshot.subxip, snapshot.subxcnt.max(0) as usize);
            Some(Snapshot {
                xmin: xid_number(snapshot.xmin),
                xmax: xid_number(snapshot.xmax),
                running: above.chain(below).collect(),
            })
        }
    }

    /// Whether it shows every transaction that another one shows, perhaps more.
    pub fn shows_all_of(&self, other: &Self) -> bool {
        // Numbers of transactions go round.
        let is_before = |a: u32, b: u32| (a.wrapping_sub(b) as i32) < 0;
        !is_before(self.xmax, other.xmax)
            && self.running.iter().all(|xid| !is_before(*xid, other.xmax) || other.running.contains(xid))
    }
}

fn xid_number(xid: pg_sys::TransactionId) -> u32 {
    xid.into_inner()
}
