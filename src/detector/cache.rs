//! Detectors' models, decoded once in a backend. Which model is active is looked up under each statement's snapshot.
use std::rc::Rc;

use logintel_core::artifact;
use logintel_core::baseline::Baseline;
use logintel_core::detect::Detector as Model;

use super::Active;
use crate::cache::{self, Key};
use crate::control::Session;
use crate::error::OrRaise;
use crate::security::RunAs;
use crate::spi::{Connection, arg, text_arg};

/// The model, decoded now if it is not in the cache.
pub fn model(detector: &str, active: Active) -> Rc<Model> {
    let key = Key::Detector(active.model_id);
    cache::find(&key).unwrap_or_else(|| {
        let model = Rc::new(load(detector, active.version));
        cache::keep(key, &model, model.bytes() as u64);
        model
    })
}

/// Whether the model is in the cache.
pub fn holds(active: Active) -> bool {
    cache::find::<Model>(&Key::Detector(active.model_id)).is_some()
}

fn load(detector: &str, version: i32) -> Model {
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    let rows = spi.read(
        "SELECT artifact FROM logintel.model_versions WHERE detector = $1 AND version = $2",
        &[text_arg(detector), arg(version)],
    );
    let baseline = rows.with_bytes(0, 1, |bytes| artifact::decode::<Baseline>(bytes, &Session).or_raise());
    let baseline = baseline.unwrap_or_else(|| pgrx::error!("the artifact of a model is NULL"));
    Model::new(baseline, Session::watch()).or_raise()
}
