//! Detectors: their models, clusters and drift; and the components that they tell apart.
use maud::{Markup, html};

use crate::chart;
use crate::limits;
use crate::parts::{self, count, number, numbers, percent, words};
use crate::report::{Cluster, Detector, Drift, Model, Report};
use crate::time::Time;

/// Components by their anomalies.
pub fn components(report: &Report) -> Markup {
    let shown = &report.components[..report.components.len().min(limits::COMPONENTS)];
    let columns = [
        words("Component"),
        words("Detector"),
        numbers("Open incidents"),
        numbers("Recorded in 24 h"),
        numbers("Anomalies"),
        numbers("Last"),
    ];
    let most = shown.iter().map(|component| component.anomalies).max().unwrap_or(0).max(1) as f64;
    let rows = html! {
        @for component in shown {
            tr {
                td.strong { @if component.component.is_empty() { span.muted { "none" } } @else { (component.component) } }
                td { (component.detector) }
                td.number data-v=(component.open_incidents) { (number(component.open_incidents)) }
                td.number data-v=(component.anomalies_last_day) { (number(component.anomalies_last_day)) }
                td.number data-v=(component.anomalies) { (number(component.anomalies)) (parts::bar("", component.anomalies as f64 / most)) }
                td.number data-v=(component.last.unwrap_or_default().0) { @if let Some(last) = component.last { (last.show_short(report.generated_at)) } }
            }
        }
    };
    html! {
        @if !shown.is_empty() {
            section #components { h2 { "Components" } (parts::table("components", &columns, &rows)) }
        }
    }
}

/// All detectors.
pub fn detectors(report: &Report) -> Markup {
    let shown = &report.detectors[..report.detectors.len().min(limits::DETECTORS)];
    html! {
        section #detectors {
            h2 { "Detectors" }
            @if shown.is_empty() { (none()) }
            @for detector in shown { (one(detector, report.generated_at)) }
            (parts::more(shown.len(), report.counts.detectors, "detectors, in the table logintel.detectors"))
        }
    }
}

/// What to do where there is no detector.
fn none() -> Markup {
    let next = html! {
        p { "A detector watches one table or view of logs. It is made, trained on what is there, and told to watch what comes:" }
        (parts::sql(&"SELECT logintel.create_detector('app', 'app_log');\nSELECT logintel.train('app');\nSELECT logintel.watch('app');"))
        p.note { "Is there one, and it is not shown? Then this role may not SELECT from the table that it reads." }
    };
    parts::empty("No detector", &next)
}

fn one(detector: &Detector, now: Time) -> Markup {
    html! {
        article.detector {
            h3 { (detector.name) " " span.muted { "reads " (detector.relation) } @if !detector.is_enabled { span.status { "switched off" } } }
            @match &detector.model {
                Some(model) => {
                    (figures(model, now))
                    (clusters(&detector.clusters, model))
                    (drift(detector))
                }
                None => {
                    (parts::empty("Not trained yet", &html! {
                        p { "It knows nothing of what is ordinary: only levels from ERROR on are flagged." }
                        (parts::sql(&detector.next.as_str()))
                    }))
                }
            }
        }
    }
}

fn figures(model: &Model, now: Time) -> Markup {
    html! {
        dl.figures {
            div { dt { "Model" } dd { "version " (model.version) @if model.versions > 1 { span.muted { " of " (number(model.versions)) } } } }
            div { dt { "Trained" } dd title=(model.trained_at.utc().format("%Y-%m-%d %H:%M:%S UTC")) { (model.trained_at.before(now)) } }
            div { dt { "Trained on" } dd { (count(model.training_rows, "row", "rows")) } }
            div { dt { "Templates" } dd { (number(model.templates)) } }
            div { dt { "Terms known" } dd { (number(model.vocabulary)) } }
            div { dt { "Clusters" } dd { (number(model.clusters)) } }
            div { dt { "Rows in no cluster" } dd { (percent(model.noise_rows as f64 / model.training_rows.max(1) as f64)) } }
            div { dt { "Threshold" } dd { (format!("{:.3}", model.threshold)) } }
            div { dt { "Training rows flagged" } dd { (percent(model.flagged_share)) } }
        }
    }
}

fn clusters(clusters: &[Cluster], model: &Model) -> Markup {
    let shown = &clusters[..clusters.len().min(limits::CLUSTERS)];
    let columns = [
        numbers("Cluster"),
        numbers("Share"),
        numbers("Rows"),
        numbers("Templates"),
        words("Most frequent template"),
    ];
    let all = model.training_rows.max(1) as f64;
    let rows = html! {
        @for cluster in shown {
            tr {
                td.number data-v=(cluster.id) { (cluster.id) }
                td.number data-v=(cluster.rows) { (percent(cluster.rows as f64 / all)) (parts::bar("", cluster.rows as f64 / all)) }
                td.number data-v=(cluster.rows) { (number(cluster.rows)) }
                td.number data-v=(cluster.templates) { (number(cluster.templates)) }
                td.code { (cluster.template) }
            }
        }
    };
    html! {
        @if !shown.is_empty() {
            h4 { "Clusters: what is ordinary" }
            (parts::table("clusters", &columns, &rows))
            (parts::more(shown.len(), model.clusters, "clusters, in the view logintel.cluster_summary_v"))
        }
    }
}

fn drift(detector: &Detector) -> Markup {
    let label = |last: &Drift| {
        format!(
            "Drift: in the last hour {} of the rows are flagged, and training never saw the template of {}",
            percent(last.flagged),
            percent(last.unseen)
        )
    };
    html! {
        h4 { "Drift" }
        @match detector.drift.as_slice() {
            [] => { p.note { "No hour is measured yet. Maintenance compares each full hour of a watched table with the training." } }
            [.., last] => {
                @if let Some(warning) = &detector.drift_warning { p.warning { (warning) } }
                ul.legend { li.flagged { "flagged, now " (percent(last.flagged)) } li.unseen { "template never seen in training, now " (percent(last.unseen)) } }
                (chart::drift(&detector.drift, &label(last)))
            }
        }
    }
}
