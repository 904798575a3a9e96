//! Rates: how often templates and components come, compared with the records of history.
use logintel_core::detect::{Detector as Model, Judgement};
use logintel_core::rates::{Observed, RateState, RateWatch};

use super::extract::{Line, finite_micros};
use super::record::Recorder;
use super::resolve::Resolved;

/// Watches the rates of rows that are shown in the order of time; without a model that knows rates it does nothing.
pub struct Rates<'a>(Option<(&'a Model, RateWatch<'a>)>);

impl<'a> Rates<'a> {
    /// With a detector's active model, from the beginning or where another ended.
    pub fn of(resolved: &'a Resolved, state: Option<RateState>) -> Self {
        let model = resolved.model.as_deref();
        Rates(model.and_then(|model| Some((model, RateWatch::new(model.rates()?, state)))))
    }

    /// Takes in a row and records what it breaks.
    pub fn add(&mut self, line: &Line, judgement: &Judgement, recorder: &mut Recorder<'_>) {
        let Some((model, watch)) = &mut self.0 else { return };
        let Some(ts) = line.ts.and_then(finite_micros) else { return };
        let row = Observed {
            ts,
            seen: judgement.seen,
            template: &judgement.template,
            component: line.component.as_deref(),
        };
        watch.add(&row);
        for alarm in watch.take_alarms() {
            recorder.add_alarm(model, &alarm, line, judgement);
        }
    }
}
