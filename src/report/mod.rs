//! `report_html`: what detectors found, as one page. Here it is read; the crate `logintel-report` makes the page.
//!
//! Own tables alone are read, as the extension's owner and only for detectors whose logs the caller may read, and the view
//! `status`, as the caller: no relation of a user is touched, and nothing of a user's is run.
mod findings;
mod incidents;
mod read;

use logintel_report::text::Text as Shown;
use logintel_report::{Report, page};
use pgrx::prelude::*;

use crate::detector::Detector;
use crate::security;
use crate::text::Text;

/// The page for one detector, or for all whose logs the caller may read.
// Not in a parallel plan: what explains a line may fail without the page, which takes a subtransaction.
#[pg_extern(stable, parallel_unsafe, requires = ["detector"])]
fn report_html(detector: default!(Option<Text>, "NULL")) -> Text {
    if let Some(name) = &detector {
        Detector::get(name).require_reader();
    }
    let scope = read::Scope {
        user: security::role_name(security::current_user()),
        detector: detector.map(|name| name.0),
    };
    let mut report = Report {
        version: Shown::line(env!("CARGO_PKG_VERSION")),
        asked: scope.detector.as_deref().map(Shown::line),
        ..read::head(&scope)
    };
    findings::read(&scope, &mut report);
    report.detectors = read::detectors(&scope);
    report.components = read::components(&scope);
    report.charts = read::charts(&scope, &report);
    report.incidents = incidents::list(&scope);
    report.details = incidents::details(&scope);
    Text(page(&report))
}
