//! Which detector and which model a statement means.
//!
//! The table is read under the statement's snapshot; a statement that judges a million lines reads it once. The
//! result is kept as long as the snapshot shows the same: same running transactions, same commands of our own,
//! same role. So a model that another session activates holds from the next statement on, and a repeatable-read
//! transaction keeps what it saw. What of the table outlives a transaction is said in [`super::kept`].
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

use logintel_core::detect::Detector as Model;
use logintel_core::feedback::Feedback;
use pgrx::pg_sys;

use super::snapshot::Snapshot;
use super::{Detector, kept};
use crate::security;

/// What a statement sees.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sight {
    user: pg_sys::Oid,
    snapshot: Snapshot,
    command: u32,
}

impl Sight {
    /// `None` where no snapshot is active: then nothing is kept.
    fn now() -> Option<Self> {
        let snapshot = Snapshot::active()?;
        // SAFETY: there is an active snapshot.
        let command = unsafe { (*pg_sys::GetActiveSnapshot()).curcid };
        Some(Sight { user: security::current_user(), snapshot, command })
    }
}

/// A detector with its model, as one statement sees them.
#[derive(Debug)]
pub struct Resolved {
    pub detector: Rc<Detector>,
    /// `None` before the first training.
    pub model: Option<Rc<Model>>,
    /// What people have said; read when a line is flagged.
    pub(super) feedback: OnceCell<Rc<Feedback>>,
}

impl Resolved {
    /// With the detector's active model.
    pub fn new(detector: impl Into<Rc<Detector>>) -> Self {
        let detector = detector.into();
        let model = detector.model();
        Resolved { detector, model, feedback: OnceCell::new() }
    }
}

thread_local! {
    static LAST: RefCell<Vec<(Sight, Rc<Resolved>)>> = const { RefCell::new(Vec::new()) };
}

/// Detectors that one statement may use without reading the table again.
const KEPT: usize = 8;

/// The detector of that name; an error if there is none. `check` is asked at each call whether the role may
/// use it for what the call does.
pub fn resolve(name: &str, check: impl FnOnce(&Detector)) -> Rc<Resolved> {
    let sight = Sight::now();
    if let Some(known) = known_by(name, sight.as_ref()) {
        check(&known.detector);
        return known;
    }
    let detector = Rc::new(Detector::get(name));
    if let Some(sight) = &sight {
        kept::keep(&detector, &sight.snapshot);
    }
    check(&detector);
    let resolved = Rc::new(Resolved::new(detector));
    remember(&resolved, sight);
    resolved
}

/// The detector of that name, if nothing need be read for it. Whoever asks checks for himself who may use it.
pub(super) fn known(name: &str) -> Option<Rc<Resolved>> {
    known_by(name, Sight::now().as_ref())
}

fn known_by(name: &str, sight: Option<&Sight>) -> Option<Rc<Resolved>> {
    let sight = sight?;
    let last = LAST.with_borrow(|last| {
        let found = last.iter().find(|(seen, resolved)| resolved.detector.name == name && seen == sight);
        found.map(|(_, resolved)| Rc::clone(resolved))
    });
    last.or_else(|| {
        let resolved = Rc::new(Resolved::new(kept::find(name, &sight.snapshot)?));
        remember(&resolved, Some(sight.clone()));
        Some(resolved)
    })
}

/// Keeps a detector for as long as the transaction shows the same.
fn remember(resolved: &Rc<Resolved>, sight: Option<Sight>) {
    forget_at_the_end();
    let name = &resolved.detector.name;
    LAST.with_borrow_mut(|last| {
        last.retain(|(seen, resolved)| Some(seen) == sight.as_ref() && resolved.detector.name != *name);
        if let Some(sight) = sight.filter(|_| last.len() < KEPT) {
            last.push((sight, Rc::clone(resolved)));
        }
    });
}

/// Lets no model that was resolved outlive its transaction, or a subtransaction that is rolled back: both may have
/// changed what the same snapshot shows.
fn forget_at_the_end() {
    thread_local! {
        static REGISTERED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
    }
    if !REGISTERED.replace(true) {
        // SAFETY: the callbacks raise no ERROR and live as long as the process.
        unsafe {
            pg_sys::RegisterXactCallback(Some(at_transaction_end), std::ptr::null_mut());
            pg_sys::RegisterSubXactCallback(Some(at_subtransaction_end), std::ptr::null_mut());
        }
    }
}

fn forget() {
    // Not while the process ends, and not where an error came out of the list itself.
    let _ = LAST.try_with(|last| last.try_borrow_mut().map(|mut last| last.clear()));
}

unsafe extern "C-unwind" fn at_transaction_end(_: pg_sys::XactEvent::Type, _: *mut std::ffi::c_void) {
    forget();
}

unsafe extern "C-unwind" fn at_subtransaction_end(
    event: pg_sys::SubXactEvent::Type,
    _: pg_sys::SubTransactionId,
    _: pg_sys::SubTransactionId,
    _: *mut std::ffi::c_void,
) {
    if event == pg_sys::SubXactEvent::SUBXACT_EVENT_ABORT_SUB {
        forget();
    }
}
