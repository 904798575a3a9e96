//! Models that this backend has decoded.
//!
//! Decoding a model takes milliseconds, judging a line microseconds, so each backend keeps the models it used,
//! least recently used out, within `logintel.model_cache_mem`. A model is named by an identity that is never
//! used again, so an entry is never stale: which model is active is looked up under each statement's snapshot.
use std::cell::RefCell;
use std::rc::Rc;

use logintel_core::artifact;
use logintel_core::baseline::Baseline;
use logintel_core::detect::Detector as Model;
use pgrx::Uuid;

use super::Active;
use crate::error::OrRaise;
use crate::security::RunAs;
use crate::settings;
use crate::spi::{Connection, arg};

thread_local! {
    /// Most recently used last.
    static MODELS: RefCell<Vec<(Uuid, Rc<Model>)>> = const { RefCell::new(Vec::new()) };
}

/// The model, decoded now if it is not in the cache.
pub fn model(detector: &str, active: Active) -> Rc<Model> {
    let cached = MODELS.with_borrow_mut(|models| {
        let at = models.iter().position(|(id, _)| *id == active.model_id)?;
        let entry = models.remove(at);
        let model = Rc::clone(&entry.1);
        models.push(entry);
        Some(model)
    });
    cached.unwrap_or_else(|| {
        let model = Rc::new(load(detector, active.version));
        keep(active.model_id, &model);
        model
    })
}

fn load(detector: &str, version: i32) -> Model {
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    let rows = spi.read(
        "SELECT artifact FROM logintel.model_versions WHERE detector = $1 AND version = $2",
        &[arg(detector), arg(version)],
    );
    let bytes: Vec<u8> = rows.must(0, 1);
    Model::new(artifact::decode::<Baseline>(&bytes).or_raise()).or_raise()
}

/// Adds a model and drops the least recently used ones that no longer fit; the newest stays in any case.
fn keep(id: Uuid, model: &Rc<Model>) {
    MODELS.with_borrow_mut(|models| {
        models.push((id, Rc::clone(model)));
        let mut bytes: u64 = models.iter().map(|(_, model)| model.bytes() as u64).sum();
        while models.len() > 1 && bytes > settings::model_cache_mem() {
            let (_, dropped) = models.remove(0);
            bytes -= dropped.bytes() as u64;
        }
    });
}
