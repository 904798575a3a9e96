//! Which detector and which model a statement means.
//!
//! The table is read under the statement's snapshot; a statement that judges a million lines reads it once. The
//! result is kept as long as the snapshot shows the same: same running transactions, same commands of our own,
//! same role. So a model that another session activates holds from the next statement on, and a repeatable-read
//! transaction keeps what it saw.
use std::cell::RefCell;
use std::rc::Rc;

use logintel_core::detect::Detector as Model;
use pgrx::pg_sys;

use super::Detector;
use crate::security;

/// What a statement sees.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sight {
    user: pg_sys::Oid,
    xmin: u32,
    xmax: u32,
    running: Vec<u32>,
    command: u32,
}

impl Sight {
    /// `None` where no snapshot is active: then nothing is kept.
    fn now() -> Option<Self> {
        // SAFETY: the arrays of an active snapshot are as long as it says.
        unsafe {
            if !pg_sys::ActiveSnapshotSet() {
                return None;
            }
            let snapshot = &*pg_sys::GetActiveSnapshot();
            let list = |array: *mut pg_sys::TransactionId, count: usize| {
                let slice = if count == 0 { &[] } else { std::slice::from_raw_parts(array, count) };
                slice.iter().map(|&xid| xid_number(xid)).collect::<Vec<u32>>()
            };
            let mut running = list(snapshot.xip, snapshot.xcnt as usize);
            running.extend(list(snapshot.subxip, snapshot.subxcnt.max(0) as usize));
            Some(Sight {
                user: security::current_user(),
                xmin: xid_number(snapshot.xmin),
                xmax: xid_number(snapshot.xmax),
                running,
                command: snapshot.curcid,
            })
        }
    }
}

fn xid_number(xid: pg_sys::TransactionId) -> u32 {
    xid.into_inner()
}

/// A detector with its model, as one statement sees them.
#[derive(Debug)]
pub struct Resolved {
    pub detector: Detector,
    /// `None` before the first training.
    pub model: Option<Rc<Model>>,
}

thread_local! {
    static LAST: RefCell<Vec<(Sight, Rc<Resolved>)>> = const { RefCell::new(Vec::new()) };
}

/// Detectors that one statement may use without reading the table again.
const KEPT: usize = 8;

/// The detector of that name; an error if there is none. `check` is asked once for each statement whether the
/// role may use it.
pub fn resolve(name: &str, check: impl FnOnce(&Detector)) -> Rc<Resolved> {
    let sight = Sight::now();
    let kept = LAST.with_borrow(|last| {
        let found = last
            .iter()
            .find(|(seen, resolved)| resolved.detector.name == name && Some(seen) == sight.as_ref());
        found.map(|(_, resolved)| Rc::clone(resolved))
    });
    kept.unwrap_or_else(|| {
        let detector = Detector::get(name);
        check(&detector);
        let model = detector.model();
        let resolved = Rc::new(Resolved { detector, model });
        LAST.with_borrow_mut(|last| {
            last.retain(|(seen, resolved)| Some(seen) == sight.as_ref() && resolved.detector.name != name);
            if let Some(sight) = sight.filter(|_| last.len() < KEPT) {
                last.push((sight, Rc::clone(&resolved)));
            }
        });
        resolved
    })
}
